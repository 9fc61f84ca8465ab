/**
 * A stream of chunks -> its lines, as bytes, a chunk's worth at a time.
 *
 * Lifetime: the lines of one turn are views of that turn's buffer.
 * Not chosen: node:readline, which decodes to strings and so loses whatever isn't UTF-8.
 */

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
const BYTE_ORDER_MARK: Buffer = Buffer.from([0xef, 0xbb, 0xbf]);

/** Without their line ends (\n or \r\n); a byte order mark at the very start is dropped. */
export async function* splitLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer[], void, void> {
  /** The pieces of a line that no chunk has ended yet. */
  let rest: Buffer[] = [];
  let isFirst = true;
  for await (const chunk of chunks) {
    const end = chunk.lastIndexOf(LINE_FEED);
    if (end === -1) {
      rest.push(chunk);
      continue;
    }
    const block = Buffer.concat([...rest, chunk.subarray(0, end + 1)]);
    rest = [chunk.subarray(end + 1)];
    yield linesOf(isFirst ? withoutMark(block) : block);
    isFirst = false;
  }
  const last = Buffer.concat(rest);
  if (last.length > 0) yield linesOf(isFirst ? withoutMark(last) : last);
}

function linesOf(block: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  for (let start = 0; start < block.length; ) {
    const found = block.indexOf(LINE_FEED, start);
    const end = found === -1 ? block.length : found;
    const isWindowsEnd = end > start && block[end - 1] === CARRIAGE_RETURN;
    lines.push(block.subarray(start, isWindowsEnd ? end - 1 : end));
    start = end + 1;
  }
  return lines;
}

function withoutMark(block: Buffer): Buffer {
  return block.subarray(0, 3).equals(BYTE_ORDER_MARK) ? block.subarray(3) : block;
}
