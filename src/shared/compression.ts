/**
 * Block codecs: the byte on disk, the name in the options, and the functions. The only importer of codec packages.
 */
export type CodecName = 'none' | 'snappy' | 'lz4';
