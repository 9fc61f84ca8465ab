/**
 * The entry of a thread that carries out jobs: what piscina calls of worker.ts. The build makes one file of it and all that it
 * imports, as a thread loads a hundred small files in twice the time that it needs for one.
 *
 * Invariants: main never loads it: what it has in common with main would be there twice. There worker.ts is the entry.
 * Thread:     a pool worker's.
 */
export { default, handleJobAsGuest, handleJobBehind } from './worker.ts';
