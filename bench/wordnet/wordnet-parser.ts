/**
 * Lines of WordNet's dictionary files -> records of the demonstration.
 *
 *   index.<pos>    lighthouse n 1 2 @ ~ 1 0 02817995
 *                  -> word:noun:lighthouse         {"synsets":["02817995"],"taggedSenses":0,"pointers":["@","~"]}
 *   index.sense    lighthouse%1:06:00:: 02817995 1 0
 *                  -> sense:lighthouse%1:06:00::   {"synset":"noun:02817995","senseNumber":1,"tagCount":0}
 *   data.<pos>     02817995 06 n 04 beacon 1 lighthouse 0 ... 004 @ 04467365 n 0000 ... | a tower with a light
 *                  -> synset:noun:02817995         {"type":"n","words":[...],"pointers":[...],"gloss":"a tower ..."}
 *
 * The formats are WordNet's manual page wndb(5). Files begin with a licence whose lines start with two spaces.
 *
 * Invariants: pure. A line that is not understood to its end throws; nothing is guessed.
 */

/** The parts of speech, as the files are named. */
export const PARTS_OF_SPEECH = ['noun', 'verb', 'adj', 'adv'] as const;
export type PartOfSpeech = (typeof PARTS_OF_SPEECH)[number];

export interface DictionaryRecord {
  readonly key: string;
  readonly value: string;
}

export interface WordValue {
  /** Offsets of its synsets, the most frequent sense first. */
  readonly synsets: readonly string[];
  readonly taggedSenses: number;
  readonly pointers: readonly string[];
}

export interface SenseValue {
  /** What follows `synset:` in the key of its synset. */
  readonly synset: string;
  readonly senseNumber: number;
  readonly tagCount: number;
}

export interface SynsetValue {
  /** n, v, a, s (an adjective's satellite) or r. */
  readonly type: string;
  readonly lexicographerFile: number;
  readonly words: readonly string[];
  /** Symbol and target of each pointer: ["@", "noun:04467365"]. */
  readonly pointers: readonly (readonly [symbol: string, target: string])[];
  readonly gloss: string;
}

export function isLicenseLine(line: string): boolean {
  return line.startsWith('  ');
}

export function parseIndexLine(line: string, pos: PartOfSpeech): DictionaryRecord {
  const fields = new Fields(line);
  const lemma = fields.next();
  fields.next();
  const synsetCount = fields.nextNumber(10);
  const pointers = fields.nextMany(fields.nextNumber(10));
  fields.nextNumber(10);
  const taggedSenses = fields.nextNumber(10);
  const synsets = fields.nextMany(synsetCount);
  fields.end();
  const value: WordValue = { synsets, taggedSenses, pointers };
  return { key: `word:${pos}:${lemma}`, value: JSON.stringify(value) };
}

export function parseSenseLine(line: string): DictionaryRecord {
  const fields = new Fields(line);
  const senseKey = fields.next();
  const offset = fields.next();
  const senseNumber = fields.nextNumber(10);
  const tagCount = fields.nextNumber(10);
  fields.end();
  const value: SenseValue = { synset: `${posOfSense(senseKey)}:${offset}`, senseNumber, tagCount };
  return { key: `sense:${senseKey}`, value: JSON.stringify(value) };
}

export function parseDataLine(line: string, pos: PartOfSpeech): DictionaryRecord {
  const bar = line.indexOf(' | ');
  if (bar === -1) throw new Error(`no gloss in ${quote(line)}`);
  const fields = new Fields(line.slice(0, bar));
  const offset = fields.next();
  const lexicographerFile = fields.nextNumber(10);
  const type = fields.next();
  const words: string[] = [];
  for (let count = fields.nextNumber(16); count > 0; count--) {
    // `galore(ip)`: where an adjective may stand isn't part of the word.
    words.push(fields.next().replace(/\((?:a|p|ip)\)$/, ''));
    fields.nextNumber(16);
  }
  const pointers: [string, string][] = [];
  for (let count = fields.nextNumber(10); count > 0; count--) {
    const [symbol, target, targetType] = [fields.next(), fields.next(), fields.next()];
    fields.nextNumber(16);
    pointers.push([symbol, `${posOfType(targetType)}:${target}`]);
  }
  if (pos === 'verb') {
    for (let count = fields.nextNumber(10); count > 0; count--) fields.nextMany(3);
  }
  fields.end();
  const value: SynsetValue = { type, lexicographerFile, words, pointers, gloss: line.slice(bar + 3).trim() };
  return { key: `synset:${pos}:${offset}`, value: JSON.stringify(value) };
}

/** Whether a key of this demonstration belongs to an adverb. */
export function isAdverbKey(key: string): boolean {
  return /^(?:word|synset):adv:/.test(key) || /^sense:.*%4:/.test(key);
}

const POS_OF_TYPE: Readonly<Record<string, PartOfSpeech>> = {
  n: 'noun',
  v: 'verb',
  a: 'adj',
  s: 'adj',
  r: 'adv',
};
const TYPES_BY_NUMBER = ' nvars';

function posOfType(type: string): PartOfSpeech {
  const pos = POS_OF_TYPE[type];
  if (pos === undefined) throw new Error(`unknown synset type ${quote(type)}`);
  return pos;
}

/** The digit behind `%` is the synset type: lighthouse%1:06:00:: is a noun. */
function posOfSense(senseKey: string): PartOfSpeech {
  const number = Number(senseKey[senseKey.lastIndexOf('%') + 1]);
  return posOfType(TYPES_BY_NUMBER[number] ?? '');
}

function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}...` : text);
}

/** The blank-separated fields of a line, one after the other. */
class Fields {
  readonly #fields: readonly string[];
  #position = 0;

  constructor(line: string) {
    this.#fields = line.trim().split(' ');
  }

  next(): string {
    const field = this.#fields[this.#position++];
    if (field === undefined || field === '') throw new Error(`a field is missing in ${this.#line()}`);
    return field;
  }

  nextMany(count: number): string[] {
    return Array.from({ length: count }, () => this.next());
  }

  nextNumber(radix: 10 | 16): number {
    const field = this.next();
    const digits = radix === 10 ? /^\d+$/ : /^[\da-f]+$/i;
    if (!digits.test(field)) throw new Error(`${quote(field)} is not a number in ${this.#line()}`);
    return Number.parseInt(field, radix);
  }

  end(): void {
    if (this.#position !== this.#fields.length)
      throw new Error(`more fields than expected in ${this.#line()}`);
  }

  #line(): string {
    return quote(this.#fields.join(' '));
  }
}
