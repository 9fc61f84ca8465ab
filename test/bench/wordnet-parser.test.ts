/** The parser of the demonstration, on lines of WordNet 3.1 and on broken ones. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  isAdverbKey,
  isLicenseLine,
  parseDataLine,
  parseIndexLine,
  parseSenseLine,
} from '../../bench/wordnet/wordnet-parser.ts';

test('parseIndexLine() reads a word with its synsets', () => {
  const { key, value } = parseIndexLine(
    'abandon v 5 4 @ ~ $ + 5 5 02232813 02232523 02080923 00614907 00615748  ',
    'verb',
  );
  assert.equal(key, 'word:verb:abandon');
  assert.deepEqual(JSON.parse(value), {
    synsets: ['02232813', '02232523', '02080923', '00614907', '00615748'],
    taggedSenses: 5,
    pointers: ['@', '~', '$', '+'],
  });
});

test('parseIndexLine() reads a word without pointers', () => {
  const { value } = parseIndexLine('a.d. r 1 0 1 0 00001885  ', 'adv');
  assert.deepEqual(JSON.parse(value), { synsets: ['00001885'], taggedSenses: 0, pointers: [] });
});

test('parseSenseLine() names the synset by the part of speech in the sense key', () => {
  const { key, value } = parseSenseLine('lighthouse%1:06:00:: 02817995 1 0');
  assert.equal(key, 'sense:lighthouse%1:06:00::');
  assert.deepEqual(JSON.parse(value), { synset: 'noun:02817995', senseNumber: 1, tagCount: 0 });
  assert.match(parseSenseLine('quick%5:00:00:fast:00 00979862 1 9').value, /"adj:00979862"/);
});

test('parseDataLine() reads words (counted in hexadecimal), pointers and the gloss', () => {
  const words = Array.from({ length: 10 }, (_, i) => `word${i} 0`).join(' ');
  const { key, value } = parseDataLine(
    `02817995 06 n 0a ${words} 001 + 02164863 v 0101 | a tower | with a light  `,
    'noun',
  );
  const synset = JSON.parse(value) as { words: string[] };
  assert.equal(key, 'synset:noun:02817995');
  assert.equal(synset.words.length, 10);
  assert.deepEqual(
    { ...synset, words: [] },
    {
      type: 'n',
      lexicographerFile: 6,
      words: [],
      pointers: [['+', 'verb:02164863']],
      gloss: 'a tower | with a light',
    },
  );
});

test('parseDataLine() passes over the sentence frames of verbs and the markers of adjectives', () => {
  const verb = parseDataLine(
    '00004032 29 v 02 sigh 0 suspire 4 000 01 + 02 00 | heave or utter a sigh  ',
    'verb',
  );
  assert.deepEqual((JSON.parse(verb.value) as { words: string[] }).words, ['sigh', 'suspire']);
  const adjective = parseDataLine('00014490 00 s 01 galore(ip) 0 000 | in great numbers', 'adj');
  assert.deepEqual((JSON.parse(adjective.value) as { words: string[] }).words, ['galore']);
});

test('a line that is not understood throws and says why', () => {
  assert.throws(
    () => parseIndexLine('abandon v 5 1 @ 5 5 02232813', 'verb'),
    /a field is missing in "abandon/,
  );
  assert.throws(() => parseIndexLine('abandon v x', 'verb'), /"x" is not a number/);
  assert.throws(() => parseSenseLine('a%1:06:00:: 02817995 1 0 9'), /more fields than expected/);
  assert.throws(() => parseSenseLine('a%7:06:00:: 02817995 1 0'), /unknown synset type/);
  assert.throws(() => parseDataLine('00004032 29 n 01 sigh 0 000', 'noun'), /no gloss/);
});

test('isLicenseLine() and isAdverbKey() tell lines and keys apart', () => {
  assert.equal(isLicenseLine('  1 This software and database'), true);
  assert.equal(isLicenseLine('a.d. r 1 0 1 0 00001885  '), false);
  for (const key of ['word:adv:aback', 'synset:adv:00001885', "sense:'tween%4:02:00::"])
    assert.equal(isAdverbKey(key), true, key);
  for (const key of ['word:adj:adverse', 'sense:quick%5:00:00:fast:00', 'demo:wordnet'])
    assert.equal(isAdverbKey(key), false, key);
});
