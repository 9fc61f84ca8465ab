/**
 * At open: what is kept for changes() by the options of the opening before, and not by this one's, goes.
 *
 * Thread: main.
 */
import { toStorageError } from '../../shared/base/failures.ts';
import type { Clock } from '../../shared/threads/shared-clock.ts';
import type { VersionSet } from '../manifest/version-set.ts';
import type { TellEvent } from '../store/events.ts';

interface TrimParts {
  readonly versions: VersionSet;
  readonly clock: Clock;
  readonly report: TellEvent;
}

/** In the background: should it fail for want of room, the next edit makes up for it. */
export function trimKept({ versions, clock, report }: TrimParts): void {
  const lastTime = clock.now();
  if (!versions.keepsTooMuch(lastTime)) return;
  versions.apply({ added: [], removed: [] }, { lastSequence: 0, lastTime }).catch((cause: unknown) => {
    if (versions.isPoisoned) return;
    const error = toStorageError(cause, 'what is kept for changes() could not be given up');
    report('backgroundError', { error, operation: 'manifest', willRetry: true });
  });
}
