/**
 * Kubernetes' protobuf bodies. Envelope: k8s.io/apimachinery pkg/runtime/serializer/protobuf (`k8s\0`, then
 * runtime.Unknown).
 */
import { DELETE_OPTIONS, KINDS } from './protobuf/messages.ts';
import { bytesOf, type Message, message, one, ProtobufError, readMessage, text } from './protobuf/wire.ts';

export { ProtobufError } from './protobuf/wire.ts';

/** The media type of such bodies. */
export const PROTOBUF = 'application/vnd.kubernetes.protobuf';

/** A message of a kind that is accepted only as JSON. */
export class UnreadKind extends ProtobufError {}

const UNKNOWN: Message = {
  1: one('typeMeta', message({ 1: one('apiVersion', text), 2: one('kind', text) })),
  2: one('raw', bytesOf),
  3: one('contentEncoding', text),
  4: one('contentType', text),
};

/**
 * The object as its JSON. Empty texts and messages are left out, as Go's `omitempty` does when it writes JSON.
 * @throws ProtobufError
 */
export function readProtobuf(body: Uint8Array): Record<string, unknown> {
  const { apiVersion, kind, raw } = envelope(body);
  const fields = kind === 'DeleteOptions' ? DELETE_OPTIONS : KINDS[`${apiVersion}/${kind}`];
  if (!fields)
    throw new UnreadKind(
      `${kind || 'this kind'} is not read from protobuf, only ${Object.keys(KINDS).join(', ')}: send JSON, as kubectl apply and create -f do`,
    );
  return { apiVersion, kind, ...readMessage(raw, fields, 0) };
}

function envelope(body: Uint8Array): { apiVersion: string; kind: string; raw: Uint8Array } {
  if (body.length < 4 || utf8OrEmpty(body.subarray(0, 4)) !== 'k8s\0')
    throw new ProtobufError('the body does not begin as a Kubernetes protobuf message');
  const { typeMeta, raw, contentEncoding } = readMessage(body.subarray(4), UNKNOWN, 0) as {
    typeMeta?: { apiVersion?: string; kind?: string };
    raw?: Uint8Array;
    contentEncoding?: string;
  };
  if (contentEncoding) throw new ProtobufError(`contentEncoding ${contentEncoding} is not supported`);
  const { apiVersion = '', kind = '' } = typeMeta ?? {};
  return { apiVersion, kind, raw: raw ?? new Uint8Array(0) };
}

function utf8OrEmpty(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return '';
  }
}
