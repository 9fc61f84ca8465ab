/**
 * Preloaded (`node --import`) into a process, and so into its threads, that is to run as if koffi were not installed.
 */
import { Module } from 'node:module';

type Load = (this: unknown, request: string, ...rest: unknown[]) => unknown;

const loader = Module as unknown as { _load: Load };
const load = loader._load;

loader._load = function refuseKoffi(request, ...rest) {
  if (request === 'koffi' || request.startsWith('koffi/'))
    throw Object.assign(new Error('koffi is hidden from this process'), { code: 'MODULE_NOT_FOUND' });
  return load.call(this, request, ...rest);
};
