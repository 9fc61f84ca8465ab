/**
 * The logs that recovery looks at, and what is known of each.
 *
 *   found     number and size; the start record, from the first bytes
 *   judged    all of it read (log-reader.ts): into memory of the caller's, or a piece at a time. One that is not sound to its end
 *             is read whole then, into memory that is given up again: what came behind the damage decides what it is
 *
 * Invariants: reads only. But for those that become memtables, one log is in memory at a time, and most not even that.
 * Thread:     main.
 */
import { CorruptionError } from '../../shared/base/errors.ts';
import { fileNumber } from '../../shared/base/ids.ts';
import { logPath, parseFileName } from '../../shared/files/file-names.ts';
import { type FileSystem, readFully, type StorageFile } from '../../shared/files/file-system.ts';
import { type LogStart, readRecord, START_RECORD_BYTES } from '../../shared/log/log-format.ts';
import { checkStart, type RecoveredLog, readLog, walkLog } from './log-reader.ts';
import { LogWindow } from './log-window.ts';

/** Offsets in logs are 32 bits wide. */
export const MAX_LOG_BYTES = 0xffffffff;

export class LogFile {
  readonly number: number;
  readonly path: string;
  readonly sizeBytes: number;
  /** Its final length, where a clean close has measured it. */
  readonly sealedBytes: number | undefined;
  readonly #fs: FileSystem;
  #judged: RecoveredLog | undefined;
  #start: LogStart | undefined;
  #firstSequence = 0;

  constructor(fs: FileSystem, path: string, number: number, sealedBytes: number | undefined) {
    this.#fs = fs;
    this.path = path;
    this.number = number;
    this.sealedBytes = sealedBytes;
    const file = fs.openRead(path);
    try {
      this.sizeBytes = file.size();
      // A sparse file may claim anything.
      if (this.sizeBytes > MAX_LOG_BYTES)
        throw new CorruptionError('the log is longer than logs get', { file: path, offset: MAX_LOG_BYTES });
      const bytes = new Uint8Array(Math.min(START_RECORD_BYTES, this.sizeBytes));
      const count = readFully(file, bytes, 0);
      const record = readRecord(bytes, 0, Math.min(count, sealedBytes ?? count), number);
      if (record !== undefined) {
        this.#start = checkStart(bytes, record, path, number);
        this.#firstSequence = record.firstSequence;
      }
    } finally {
      file.close();
    }
  }

  /** undefined: the log has no intact start record and nothing behind it: its first append was cut short. */
  get start(): LogStart | undefined {
    return this.#start ?? this.judge().start;
  }

  /** Of the first entry, or of the next one to come. */
  get firstSequence(): number {
    return this.#start === undefined ? this.judge().firstSequence : this.#firstSequence;
  }

  /** How many bytes are to be judged: all, unless a clean close says that less counts. */
  get lengthBytes(): number {
    return Math.min(this.sizeBytes, this.sealedBytes ?? this.sizeBytes);
  }

  /** All of the file. */
  read(): Uint8Array {
    const bytes = new Uint8Array(this.sizeBytes);
    const window = LogWindow.whole(bytes, false);
    if (window.want(0, bytes.length)) this.#reading((file) => window.read(file));
    return bytes;
  }

  /** As found out before, or by reading all of it now. */
  judge(): RecoveredLog {
    this.#judged ??=
      this.#walk(this.sealedBytes ?? this.sizeBytes) ?? this.load(new Uint8Array(this.lengthBytes));
    return this.#judged;
  }

  /** Its first `length` bytes, as a log that ends there. */
  judgeUpTo(length: number): RecoveredLog {
    return this.#walk(length) ?? readLog(this.read(), this.path, this.number, length);
  }

  /** undefined: it is not sound as far as that. */
  #walk(length: number): RecoveredLog | undefined {
    if (length > this.lengthBytes) return undefined;
    const log = this.#reading((file) => {
      const window = LogWindow.sliding(length);
      const walk = walkLog(window, this.path, this.number, length);
      let step = walk.next();
      for (; step.done !== true; step = walk.next()) window.read(file);
      return step.value;
    });
    return log.start !== undefined && log.validBytes === length ? log : undefined;
  }

  /** Reads what is to be judged into `bytes`, which has the room for it, and judges it there. */
  load(bytes: Uint8Array): RecoveredLog {
    this.#judged = this.#reading((file) => this.#judge(bytes, (window) => window.read(file)));
    return this.#judged;
  }

  #reading<T>(work: (file: StorageFile) => T): T {
    const file = this.#fs.openRead(this.path);
    try {
      return work(file);
    } finally {
      file.close();
    }
  }

  /** A clean close measured some logs and synced them: anything but all of their bytes is damage. */
  #judge(bytes: Uint8Array, load: (window: LogWindow) => void): RecoveredLog {
    const { path, number, sealedBytes } = this;
    const log = readLog(bytes, path, number, sealedBytes, load);
    if (sealedBytes !== undefined && log.validBytes !== sealedBytes)
      throw new CorruptionError(`the log has ${log.validBytes} sound bytes of ${sealedBytes}`, {
        file: path,
        offset: log.validBytes,
      });
    return log;
  }
}

/** Those from `logNumber` on, ascending; `sealed` gives the length of those that a clean close has measured. */
export function findLogFiles(
  fs: FileSystem,
  directory: string,
  logNumber: number,
  sealed: ReadonlyMap<number, number>,
  names: readonly string[],
): LogFile[] {
  const numbers = names
    .map(parseFileName)
    .flatMap((file) => (file?.kind === 'log' && file.number >= logNumber ? [file.number as number] : []))
    .sort((a, b) => a - b);
  const pathOf = (number: number): string => logPath(directory, fileNumber(number));
  for (const number of sealed.keys())
    if (number >= logNumber && !numbers.includes(number))
      throw new CorruptionError('a log that the manifest names is missing', { file: pathOf(number) });
  return numbers.map((number) => new LogFile(fs, pathOf(number), number, sealed.get(number)));
}
