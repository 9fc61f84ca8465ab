/**
 * Splits a line of the prompt into words, as a shell would without expanding anything.
 *
 *   put greeting hello           three words
 *   put "two words" 'it is'      quotes keep spaces; "" is an empty word
 *   put a "say \"hi\"\n"         in double quotes: \" \\ \n \r \t
 *   put a it\'s                  outside quotes a backslash takes the next character as it is
 *   put a '\n'                   in single quotes nothing is special
 */
import { usageError } from './exit-codes.ts';

const ESCAPES: Readonly<Record<string, string>> = { '"': '"', '\\': '\\', n: '\n', r: '\r', t: '\t' };

export function splitWords(line: string): string[] {
  const words: string[] = [];
  /** undefined between words, so that "" differs from nothing. */
  let word: string | undefined;
  for (let i = 0; i < line.length; i++) {
    const char = line[i]!;
    if (char === '"' || char === "'") {
      const quoted = readQuoted(line, i);
      word = (word ?? '') + quoted.text;
      i = quoted.end;
    } else if (char === '\\') {
      i++;
      if (i === line.length) throw usageError('a backslash at the end of the line');
      word = (word ?? '') + line[i]!;
    } else if (/\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      word = (word ?? '') + char;
    }
  }
  if (word !== undefined) words.push(word);
  return words;
}

/** `end` is the position of the closing quote. */
function readQuoted(line: string, start: number): { readonly text: string; readonly end: number } {
  const quote = line[start]!;
  let text = '';
  for (let i = start + 1; i < line.length; i++) {
    const char = line[i]!;
    if (char === quote) return { text, end: i };
    if (char === '\\' && quote === '"') {
      i++;
      const next = line[i] ?? '';
      // An unknown escape stays as it was typed, so that Windows paths and regular expressions survive.
      text += ESCAPES[next] ?? `\\${next}`;
    } else {
      text += char;
    }
  }
  throw usageError(`a ${quote === '"' ? 'double' : 'single'} quote is not closed`);
}
