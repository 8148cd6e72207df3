/** Events with any number of subscribers, joined once when a listener is compiled. */

export type Handler<A, B = void, C = void> = (a: A, b: B, c: C) => void;

/**
 * One function that calls all handlers in order. An exception in one is reported and keeps neither the others nor the
 * traffic from continuing.
 * @returns undefined where there is no subscriber: the place of the event then does no work for it
 */
export function joinHandlers<A, B = void, C = void>(
  handlers: readonly (Handler<A, B, C> | undefined)[],
  onError: (error: unknown) => void,
): Handler<A, B, C> | undefined {
  const present = handlers.filter((handler) => handler !== undefined);
  if (present.length === 0) return undefined;
  return (a, b, c) => {
    for (let i = 0; i < present.length; i++) {
      try {
        present[i]!(a, b, c);
      } catch (error) {
        onError(error);
      }
    }
  };
}
