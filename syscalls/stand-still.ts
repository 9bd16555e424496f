/** Waiting without an event loop. @module */

/** Not for longer than another process takes to do something short. */
export const standStill = (ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
