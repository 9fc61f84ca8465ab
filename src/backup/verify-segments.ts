/**
 * Reads all segments of an archive, and checks them by their own checksums and by their names; and looks where they do not lead
 * from one backup to the next, or to the end of a branch.
 *
 *   B1 ---s1---s2--- B2 ---s3---   (gap)   B3 ---s5--- tip        one gap: between B2 and B3 not every moment can be restored
 *
 * A gap may be one that the archive has told of, or a segment that is missing: nothing but its neighbours knew of it.
 *
 * Thread: main.
 */
import { readTips, type Tip } from './branches.ts';
import type { Description } from './description.ts';
import { contentsOf } from './find-plan.ts';
import { downloadSegment } from './replay-archive.ts';
import { planRestore, type TargetContents } from './restore-plan.ts';
import { parseSegmentName, SEGMENTS } from './segment.ts';
import type { TargetSession } from './target-session.ts';

export interface VerifiedArchive {
  readonly segments: number;
  /** Between two backups, or behind the newest one. */
  readonly gaps: number;
}

/** @throws {@link CorruptionError} for the first that is damaged. */
export async function verifySegments(
  session: TargetSession,
  descriptions: readonly Description[],
): Promise<{ readonly archive: VerifiedArchive; readonly bytes: number }> {
  const names = (await session.list(SEGMENTS)).flatMap((object) => parseSegmentName(object) ?? []);
  let bytes = 0;
  await session.each(names, async (name) => {
    const segment = await downloadSegment(session, name);
    // Frames that a restore could not read would be found here.
    Array.from(segment.frames());
    bytes += name.sizeBytes;
  });
  const tips = names.length === 0 ? [] : await readTips(session);
  const contents = contentsOf(tips, descriptions, names);
  const gaps = tips.reduce((sum, tip) => sum + gapsOf(tip, contents), 0);
  return { archive: { segments: names.length, gaps }, bytes };
}

function gapsOf({ branch, epoch }: Tip, contents: TargetContents): number {
  const own = contents.segments.filter((segment) => segment.branch === branch);
  const backups = contents.backups.filter((backup) => backup.branch === branch);
  const begun = Math.min(...own.map(({ after }) => after.sequence));
  const ended = Math.max(...own.map(({ to }) => to.sequence));
  const marks = backups.map(({ sequence }) => sequence).sort((a, b) => a - b);
  return marks.filter((mark, i) => {
    const next = marks[i + 1] ?? epoch?.end ?? mark;
    return next > Math.max(mark, begun) && mark < ended && !leadsOn(contents, branch, mark, next);
  }).length;
}

/** Whether everything from one place up to another one can be restored. */
function leadsOn(contents: TargetContents, branch: string, from: number, to: number): boolean {
  const backups = contents.backups.filter((backup) => backup.branch === branch && backup.sequence <= from);
  try {
    planRestore({ ...contents, backups }, { kind: 'position', branch, sequence: to });
    return true;
  } catch {
    // STRATA_POSITION_LOST is all that a plan throws.
    return false;
  }
}
