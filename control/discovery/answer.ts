/** A DiscoveryAnswer as bytes: put together of resources that were encoded, and compressed, once for all proxies. */
import { type Feature, isConfidential, type TrustUpdate } from '../../shared/xds/discovery.ts';
import type { SharedResource } from '../compile/output/shared-resource.ts';
import { type CompressedBlocks, runsOf } from './compressed-blocks.ts';
import { GzipMember } from './gzip.ts';
import type { Collected, Response } from './session.ts';
import { turn } from './turn.ts';

export interface PollAnswer extends Collected {
  readonly session: string;
  readonly features?: readonly Feature[];
  readonly trust?: TrustUpdate;
  readonly controlPlanes?: readonly string[];
}

const encoder = new TextEncoder();
const text = (value: string): Uint8Array => encoder.encode(value);
const COMMA = text(',');
const CLOSE = text('}');

/** A part of the answer's JSON: the proxy's own text, or a run of resources, which other proxies are sent as well. */
type Part = { readonly own: Uint8Array } | { readonly run: readonly SharedResource[] };

function* partsOf({ responses, ...head }: PollAnswer): Generator<Part> {
  yield { own: text(`${JSON.stringify(head).slice(0, -1)},"responses":[`) };
  for (const [i, response] of responses.entries()) yield* responseParts(response, i > 0);
  yield { own: text(']}') };
}

function* responseParts(response: Response, follows: boolean): Generator<Part> {
  const { systemVersionInfo, typeUrl, nonce, resources, removedResources } = response;
  const head = JSON.stringify({ systemVersionInfo, typeUrl, nonce, removedResources });
  yield { own: text(`${follows ? ',' : ''}${head.slice(0, -1)},"resources":[`) };
  let first = true;
  // Secrets are neither shared nor compressed: the size of a compressed text tells of its content.
  const confidential = isConfidential(typeUrl);
  const runs = confidential ? resources.map((secret) => [secret]) : runsOf(resources);
  for (const run of runs) {
    if (!first) yield { own: COMMA };
    first = false;
    yield confidential ? { own: joined([...runChunks(run)]) } : { run };
  }
  yield { own: text(']}') };
}

/** The resources of a run as in a DeltaDiscoveryResponse, with commas between. */
function* runChunks(run: readonly SharedResource[]): Generator<Uint8Array> {
  for (const [i, resource] of run.entries()) {
    if (i > 0) yield COMMA;
    yield envelopeOf(resource);
    yield* resource.chunks();
    yield CLOSE;
  }
}

const envelopes = new WeakMap<SharedResource, Uint8Array>();

function envelopeOf(resource: SharedResource): Uint8Array {
  let envelope = envelopes.get(resource);
  if (!envelope) {
    const { name, version } = resource;
    envelopes.set(resource, (envelope = text(`${JSON.stringify({ name, version }).slice(0, -1)},"resource":`)));
  }
  return envelope;
}

function runSize(run: readonly SharedResource[]): number {
  let size = run.length - 1;
  for (const resource of run) size += envelopeOf(resource).length + resource.size + CLOSE.length;
  return size;
}

/** Bytes of an answer, with the size of their content. */
interface Chunk {
  readonly bytes: Uint8Array;
  readonly content: number;
}

const plain = (bytes: Uint8Array): Chunk => ({ bytes, content: bytes.length });

/** The answer as JSON, in parts of any size. */
export function* answerChunks(answer: PollAnswer): Generator<Uint8Array> {
  for (const part of partsOf(answer)) {
    if ('own' in part) yield part.own;
    else yield* runChunks(part.run);
  }
}

function* plainChunks(answer: PollAnswer): Generator<Chunk> {
  for (const bytes of answerChunks(answer)) yield plain(bytes);
}

/** Shared content below this size is not worth a block of its own: it would fit into the same packet. */
const MIN_COMPRESSED = 512;

/** The answer as JSON in one gzip member. */
function* gzipChunks(answer: PollAnswer, blocks: CompressedBlocks): Generator<Chunk> {
  const member = new GzipMember();
  yield plain(member.head());
  for (const part of partsOf(answer)) {
    if ('own' in part) yield plain(member.stored(part.own));
    else {
      const size = runSize(part.run);
      const content = () => joined([...runChunks(part.run)]);
      if (size < MIN_COMPRESSED) yield plain(member.stored(content()));
      else
        for (const block of blocks.of(part.run, size, content))
          yield { bytes: member.block(block), content: block.size };
    }
  }
  yield plain(member.end());
}

/**
 * A piece holds up to this many bytes; of content, since compression takes time as well, the second. An answer of several
 * pieces is written piece by piece, as fast as the proxy takes it.
 */
const PIECE = 64 * 1024;
const PIECE_CONTENT = 512 * 1024;

/**
 * The body of the HTTP response: bytes, or a stream of pieces that are made when they are requested. A socket that takes
 * them at once must not keep the event loop until the last: each piece is made in another turn.
 * @param blocks absent: the answer is not compressed; else it is one gzip member
 */
export function answerBody(
  answer: PollAnswer,
  blocks?: CompressedBlocks,
): Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> {
  const pieces = piecesOf(blocks ? gzipChunks(answer, blocks) : plainChunks(answer));
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

function* piecesOf(chunks: Iterable<Chunk>): Generator<Uint8Array<ArrayBuffer>, undefined> {
  let gathered: Uint8Array[] = [];
  let size = 0;
  let contents = 0;
  for (const { bytes, content } of chunks) {
    gathered.push(bytes);
    size += bytes.length;
    contents += content;
    if (size < PIECE && contents < PIECE_CONTENT) continue;
    yield joined(gathered);
    gathered = [];
    size = 0;
    contents = 0;
  }
  if (size > 0) yield joined(gathered);
  return undefined;
}

function joined(chunks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let size = 0;
  for (const chunk of chunks) size += chunk.length;
  const out = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}
