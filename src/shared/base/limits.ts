/**
 * Limits of keys, values and batches: checked at the call, so that nothing behind it can fail on them, and again in every
 * decoder, so that no damaged length makes us allocate more.
 */

export const MAX_KEY_BYTES = 65536;
export const MAX_VALUE_BYTES = 268435456;
/** A batch must fit one memtable arena, whose offsets are 32-bit, with room for its index. */
export const MAX_BATCH_BYTES = 1073741824;
