/**
 * What copies of the package that are loaded in one process know of each other.
 */

/** As package.json has it (held by test/package.test.ts). */
export const PACKAGE_VERSION = '0.1.0';

/** Under this an engine says of which version it is. */
export const ENGINE_MARK: symbol = Symbol.for('stratakv.StorageEngine');
