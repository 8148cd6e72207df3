/** How work for a request learns that it is no longer wanted. */

/** A function, or an object as `EventTarget.addEventListener` takes it. */
export type CancelListener = (() => void) | { handleEvent(): void };

/** The part of an AbortSignal that calls and timers use; every AbortSignal is one. */
export interface CancelSignal {
  readonly aborted: boolean;
  /** @param listener is called once, when the signal is aborted; never where it already is */
  addEventListener(type: 'abort', listener: CancelListener): void;
  removeEventListener(type: 'abort', listener: CancelListener): void;
}

/**
 * A signal of one request. An AbortController would make a signal, an event and an exception with a stack trace for each
 * request, which together cost more than the request's own head.
 */
export class Cancellation implements CancelSignal {
  aborted: boolean;
  private listeners: CancelListener[] | undefined = undefined;

  constructor(aborted = false) {
    this.aborted = aborted;
  }

  addEventListener(_type: 'abort', listener: CancelListener): void {
    if (this.aborted) return;
    if (this.listeners === undefined) this.listeners = [listener];
    else if (!this.listeners.includes(listener)) this.listeners.push(listener);
  }

  removeEventListener(_type: 'abort', listener: CancelListener): void {
    const at = this.listeners?.indexOf(listener) ?? -1;
    if (at >= 0) this.listeners!.splice(at, 1);
  }

  /** Once. @param failed is given what a listener throws; the others are still called */
  abort(failed: (error: unknown) => void): void {
    const { listeners } = this;
    this.aborted = true;
    this.listeners = undefined;
    if (listeners === undefined) return;
    for (const listener of listeners) {
      try {
        if (typeof listener === 'function') listener();
        else listener.handleEvent();
      } catch (error) {
        failed(error);
      }
    }
  }
}
