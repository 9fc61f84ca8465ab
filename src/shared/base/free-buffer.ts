/**
 * Gives the memory of a buffer back to the system now, and not when the collector comes past: a store at rest makes no garbage,
 * so that no collector comes.
 *
 * A buffer that is moved to a port whose other end is closed goes nowhere, and is freed on the way. Node 22 has
 * ArrayBuffer.prototype.transfer for it, Node 20 nothing.
 *
 * Thread: any.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads';

/** A smaller one is not worth a message. */
const MIN_BYTES = 65536;

let nowhere: MessagePort | undefined;

/** Nobody may use `buffer` any more: views of it have no bytes from here on. */
export function freeBuffer(buffer: ArrayBuffer): void {
  if (buffer.byteLength < MIN_BYTES) return;
  nowhere ??= closedPort();
  nowhere.postMessage(null, [buffer]);
}

function closedPort(): MessagePort {
  const { port1, port2 } = new MessageChannel();
  port1.unref();
  port2.close();
  return port1;
}
