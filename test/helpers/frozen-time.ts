/**
 * Fake timers that nobody advances: what jest, vitest and sinon put in the place of the real ones, at its worst.
 *
 * Thread: the one whose globals are given. Not undone: for processes of their own.
 */
/** Timers, turns and microtasks of `globals` never come; its clocks stand, and the wall clock goes backwards. */
export function freezeTime(globals: typeof globalThis): void {
  freezeTimers(globals);
  // jest 29 leaves it without timeOrigin.
  Reflect.set(globals, 'performance', { now: () => 0 });
  let wall = 1_700_000_000_000;
  const { Date: RealDate } = globals;
  const FakeDate = class extends RealDate {
    constructor(...moment: readonly [] | readonly [number | string | Date]) {
      super(moment.length === 0 ? FakeDate.now() : moment[0]);
    }
    static override now(): number {
      wall -= 1000;
      return wall;
    }
  };
  Reflect.set(globals, 'Date', FakeDate);
}

/** The timers of `holder`, which is a global object or the module of timers, never come. */
export function freezeTimers(holder: object): void {
  const never = (): object => {
    const timer = {
      ref: () => timer,
      unref: () => timer,
      hasRef: () => false,
      [Symbol.toPrimitive]: () => 1,
    };
    return timer;
  };
  const names = ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask'];
  for (const name of names) Reflect.set(holder, name, never);
  for (const name of ['clearTimeout', 'clearInterval', 'clearImmediate'])
    Reflect.set(holder, name, () => undefined);
}
