/** A DiscoveryAnswer as bytes: put together of resources that were encoded once for all proxies. */
import type { Feature } from '../../shared/xds/discovery.ts';
import type { Collected, Response } from './session.ts';
import { turn } from './turn.ts';

export interface PollAnswer extends Collected {
  readonly session: string;
  readonly features?: readonly Feature[];
}

const encoder = new TextEncoder();
const text = (value: string): Uint8Array => encoder.encode(value);

/** The answer as JSON, in parts of any size. */
export function* answerChunks({ responses, ...head }: PollAnswer): Generator<Uint8Array> {
  yield text(`${JSON.stringify(head).slice(0, -1)},"responses":[`);
  for (const [i, response] of responses.entries()) yield* responseChunks(response, i > 0);
  yield text(']}');
}

function* responseChunks(response: Response, follows: boolean): Generator<Uint8Array> {
  const { systemVersionInfo, typeUrl, nonce, resources, removedResources } = response;
  const head = JSON.stringify({ systemVersionInfo, typeUrl, nonce, removedResources });
  yield text(`${follows ? ',' : ''}${head.slice(0, -1)},"resources":[`);
  for (const [i, resource] of resources.entries()) {
    const { name, version } = resource;
    const envelope = JSON.stringify({ name, version });
    yield text(`${i > 0 ? ',' : ''}${envelope.slice(0, -1)},"resource":`);
    yield* resource.chunks();
    yield text('}');
  }
  yield text(']}');
}

/** Up to this size an answer is one piece; a larger one is written piece by piece, as fast as the proxy takes it. */
const PIECE = 64 * 1024;

/**
 * The body of the HTTP response: bytes, or a stream of pieces that are made when they are requested. A socket that takes
 * them at once must not keep the event loop until the last: each piece is made in another turn.
 */
export function answerBody(answer: PollAnswer): Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> {
  const pieces = piecesOf(answerChunks(answer));
  const first = pieces.next().value ?? new Uint8Array();
  const second = pieces.next();
  if (second.done) return first;
  const begun = [first, second.value];
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (begun.length === 0) await turn();
        const piece = begun.shift() ?? pieces.next().value;
        if (piece) controller.enqueue(piece);
        else controller.close();
      },
    },
    { highWaterMark: 1 },
  );
}

function* piecesOf(chunks: Iterable<Uint8Array>): Generator<Uint8Array<ArrayBuffer>, undefined> {
  let gathered: Uint8Array[] = [];
  let size = 0;
  for (const chunk of chunks) {
    gathered.push(chunk);
    size += chunk.length;
    if (size < PIECE) continue;
    yield joined(gathered, size);
    gathered = [];
    size = 0;
  }
  if (size > 0) yield joined(gathered, size);
  return undefined;
}

function joined(chunks: readonly Uint8Array[], size: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}
