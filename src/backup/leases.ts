/**
 * uploads/<upload>.json: a backup under way. It says which objects the backup builds upon; those that it writes have its name in
 * theirs. Purge leaves both alone, as long as the writer is heard of: it rewrites uploads/<upload>.beat every minute.
 *
 * Invariants: the lease is there before the first object, and before the look at what may be built upon; it goes when the
 *             description is there. A writer not heard of for an hour, by the target's clock, counts as dead, and its
 *             backup is revoked (description.ts) before its objects go.
 * Thread:     main.     Owns: a timer, until end().
 */
import { clearInterval, setInterval, wallClock } from '../shared/base/timers.ts';
import { beatKey, ID_PATTERN, leaseKey, OBJECT_PATTERN, UPLOADS } from './layout.ts';
import { openSealed, sealText, TARGET_FORMAT } from './sealed-text.ts';
import type { ListedObject } from './target.ts';
import type { TargetSession } from './target-session.ts';

const BEAT_MS = 60_000;
/** After this long without a beat a writer counts as dead. */
export const LEASE_MS: number = 60 * 60_000;

/** What others know of a backup under way. */
export interface Lease {
  readonly upload: string;
  readonly id: string;
  readonly reuses: readonly string[];
  /** By the target's clock. */
  readonly heardMs: number;
}

export class OwnLease {
  readonly #session: TargetSession;
  readonly #upload: string;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> | undefined;

  private constructor(session: TargetSession, upload: string) {
    this.#session = session;
    this.#upload = upload;
    this.#timer = setInterval(() => this.#beat(), BEAT_MS);
    this.#timer.unref();
  }

  static async take(
    session: TargetSession,
    upload: string,
    id: string,
    reuses: readonly string[],
  ): Promise<OwnLease> {
    const text = sealText({ format: TARGET_FORMAT, id, reuses, startedAt: wallClock() });
    await session.put(leaseKey(upload), text);
    return new OwnLease(session, upload);
  }

  #beat(): void {
    if (this.#beating !== undefined) return;
    this.#beating = this.#session
      .put(beatKey(this.#upload), Buffer.from(`${wallClock()}\n`))
      // The transfers of the backup find out by themselves that the target is away; a beat that is late does no harm.
      .catch(() => undefined)
      .finally(() => {
        this.#beating = undefined;
      });
  }

  /** No beat is written once this has resolved. */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    await this.#beating;
  }

  /** Takes the lease back; `session` may be another one than that of the backup. The beat goes first: alone it means nothing. */
  async remove(session: TargetSession): Promise<void> {
    await removeLease(session, this.#upload);
  }
}

export async function removeLease(session: TargetSession, upload: string): Promise<void> {
  await session.remove(beatKey(upload));
  await session.remove(leaseKey(upload));
}

/** All backups under way, and the beats that no lease belongs to. */
export async function readLeases(session: TargetSession): Promise<Lease[]> {
  const objects = await session.list(UPLOADS);
  const byKey = new Map(objects.map((object) => [object.key, object]));
  const leases: Lease[] = [];
  await session.each(objects, async (object) => {
    const upload = leaseOf(object.key);
    if (upload === undefined) return;
    const lease = await session.readSealed(object.key, ({ bytes }, file) => {
      const fields = openSealed(bytes, file);
      return { id: fields.text('id', ID_PATTERN), reuses: fields.texts('reuses', OBJECT_PATTERN) };
    });
    const beat = byKey.get(beatKey(upload));
    if (lease !== undefined)
      leases.push({ upload, ...lease, heardMs: Math.max(object.modifiedMs, beat?.modifiedMs ?? 0) });
  });
  return leases;
}

function leaseOf(key: string): string | undefined {
  return /^uploads\/([0-9a-f]{12})\.json$/.exec(key)?.[1];
}

/** A beat whose lease is gone: its writer was killed between the two. */
export function isStrayBeat({ key }: ListedObject, objects: readonly ListedObject[]): boolean {
  const upload = /^uploads\/([0-9a-f]{12})\.beat$/.exec(key)?.[1];
  return upload !== undefined && !objects.some((object) => object.key === leaseKey(upload));
}
