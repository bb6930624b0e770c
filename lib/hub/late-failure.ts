/**
 * Lets a connection fail only after what it brought was taken. undici's `fetch` drops what it received and nobody
 * has read yet as soon as the connection breaks, so that a line that breaks often would never bring a file to its end.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { DecoratorHandler, type Dispatcher } from 'undici';

/** Bytes of the body of one answer. */
export interface Reception {
  /** Bytes that came over the connection. */
  received: number;
  /** Bytes that their reader is done with. */
  taken: number;
}

/** Milliseconds between two looks at the reader. */
const LOOK = 5;

/** Looks without a byte taken, after which the reader counts as gone. */
const PATIENCE = 400;

type Controller = Dispatcher.DispatchController;
type Headers = Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseStart']>>[2];

interface Handler {
  onResponseStart(controller: Controller, status: number, headers: Headers, statusText?: string): void;
  onResponseData(controller: Controller, chunk: Buffer): void;
  onResponseError(controller: Controller, error: Error): void;
}

/** undici's types leave out the methods of its class. */
const Decorator = DecoratorHandler as new (handler: Dispatcher.DispatchHandler) => Handler;

class LateFailureHandler extends Decorator {
  readonly #reception: Reception;

  constructor(handler: Dispatcher.DispatchHandler, reception: Reception) {
    super(handler);
    this.#reception = reception;
  }

  override onResponseStart(...answer: Parameters<Handler['onResponseStart']>): void {
    Object.assign(this.#reception, { received: 0, taken: 0 });
    super.onResponseStart(...answer);
  }

  override onResponseData(controller: Controller, chunk: Buffer): void {
    this.#reception.received += chunk.length;
    super.onResponseData(controller, chunk);
  }

  override onResponseError(controller: Controller, error: Error): void {
    void allTaken(this.#reception).then(() => super.onResponseError(controller, error));
  }
}

/** Waits until everything that was received is taken, or nobody takes it. */
async function allTaken(reception: Reception): Promise<void> {
  let before = reception.taken;
  for (let looks = 0; reception.taken < reception.received && looks < PATIENCE; looks++) {
    await sleep(LOOK);
    if (reception.taken > before) looks = 0;
    before = reception.taken;
  }
}

/** The client, with failures that wait until the reader has added what it took to `reception`. */
export function withLateFailures(client: Dispatcher, reception: Reception): Dispatcher {
  return client.compose(
    (dispatch) => (options, handler) => dispatch(options, new LateFailureHandler(handler, reception)),
  );
}
