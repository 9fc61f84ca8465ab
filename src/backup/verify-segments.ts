/**
 * Reads all segments of an archive, and checks them by their own checksums and by their names.
 *
 * Thread: main.
 */

import { downloadSegment } from './replay-archive.ts';
import { parseSegmentName, SEGMENTS } from './segment.ts';
import type { TargetSession } from './target-session.ts';

/** @throws {@link CorruptionError} for the first that is damaged. */
export async function verifySegments(
  session: TargetSession,
): Promise<{ readonly objects: number; readonly bytes: number }> {
  const names = (await session.list(SEGMENTS)).flatMap((object) => parseSegmentName(object) ?? []);
  let bytes = 0;
  await session.each(names, async (name) => {
    const segment = await downloadSegment(session, name);
    // Frames that a restore could not read would be found here.
    Array.from(segment.frames());
    bytes += name.sizeBytes;
  });
  return { objects: names.length, bytes };
}
