/** A worker module that cannot be loaded. */
export default function never(): never {
  throw new Error('never called');
}

throw new Error('this module can not be loaded');
