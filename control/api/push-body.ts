/**
 * Bodies of many small chunks over a long time, as watches have. To a reader they are ordinary streams; a server
 * may take the chunks from their source instead, which costs half as much for each.
 */
export interface PushSource {
  readonly chunks: AsyncGenerator<Uint8Array, void, void>;
  /** Ends the chunks, also while the next one is pending. */
  readonly cancel: () => void;
}

const sources = new WeakMap<object, PushSource>();

export function pushBody(source: PushSource): ReadableStream<Uint8Array> {
  const { chunks, cancel } = source;
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await chunks.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel,
    },
    // Nothing is pulled before the first read: until then the source may be taken.
    { highWaterMark: 0 },
  );
  sources.set(body, source);
  return body;
}

/** The source of a body that `pushBody` made and that was not read yet. */
export function takeSource(body: ReadableStream<Uint8Array>): PushSource | undefined {
  const source = sources.get(body);
  sources.delete(body);
  return source;
}
