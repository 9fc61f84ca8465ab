/**
 * Changes: a batch that happens whole, a snapshot that doesn't see it, and the deletion of a part of speech.
 */

import { formatCount, formatDuration, formatRate } from '../../src/main/cli/quantities.ts';
import { type StorageEngine, WriteBatch } from '../../src/main/index.ts';
import { BatchWriter } from './batch-writer.ts';
import { countKeys } from './demo-read.ts';
import { type DemoReport, timed } from './demo-report.ts';
import { isAdverbKey } from './wordnet-parser.ts';

/** Adds a word with its synset and takes it back again: two batches, one snapshot. */
export async function changeAtomically(engine: StorageEngine, report: DemoReport): Promise<void> {
  const word = 'word:noun:stratakv';
  const synset = 'synset:noun:99999999';
  const added = new WriteBatch()
    .put(word, JSON.stringify({ synsets: ['99999999'], taggedSenses: 0, pointers: [] }))
    .put(synset, JSON.stringify({ type: 'n', words: ['stratakv'], pointers: [], gloss: 'layers of keys' }));
  const before = engine.snapshot();
  try {
    await engine.write(added);
    report.check(engine.hasSync(word) && engine.hasSync(synset), 'a batch of two puts is there whole');
    const isUnseen = [word, synset].every((key) => !engine.hasSync(key, { snapshot: before }));
    report.check(isUnseen, "a snapshot taken before it doesn't see it");
  } finally {
    before.close();
  }
  await engine.write(new WriteBatch().delete(word).delete(synset));
  report.check(!engine.hasSync(word) && !engine.hasSync(synset), 'a batch of two deletes takes it back');
}

/** Returns how many records went. */
export async function deleteAdverbs(engine: StorageEngine, report: DemoReport): Promise<number> {
  const before = engine.snapshot();
  try {
    const wordCount = countKeys(engine, 'word:adv:');
    const { result: keys, elapsedMs } = await timed(() => deleteMatching(engine));
    const rate = formatRate(keys.length, elapsedMs);
    report.say(
      `deleted ${formatCount(keys.length)} records of adverbs in ${formatDuration(elapsedMs)} (${rate}/s, finding them included)`,
    );
    const left = (await engine.getMany(keys)).filter((value) => value !== undefined).length;
    report.checkCount(left, 0, 'of them still found by key');
    report.checkCount(countKeys(engine, 'word:adv:'), 0, 'adverbs still found by scan');
    report.checkCount(
      countKeys(engine, 'word:adv:', before),
      wordCount,
      'adverbs the snapshot before still sees',
    );
    return keys.length;
  } finally {
    before.close();
  }
}

/** Deletes while it scans: the scan sees the moment it began. */
async function deleteMatching(engine: StorageEngine): Promise<Buffer[]> {
  const keys: Buffer[] = [];
  const writer = new BatchWriter(engine);
  for (const [key] of engine.scan({ values: false })) {
    if (!isAdverbKey(key.toString())) continue;
    writer.delete(key);
    keys.push(key);
    if (writer.isFull) await writer.makeRoom();
  }
  await writer.finish();
  return keys;
}
