import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { kinds, validate } from '../../../shared/resources/index.ts';
import { memoryStore } from '../../store/memory.ts';
import { createApi, createInitialNamespaces } from '../app.ts';
import { PROTOBUF, ProtobufError, readProtobuf } from './protobuf.ts';

/** A field: a text or bytes (wire type 2), or a number (wire type 0). */
type Part = [number, string | Uint8Array | number];

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = BigInt(value); ; rest >>= 7n) {
    if (rest < 128n) return [...bytes, Number(rest)];
    bytes.push(Number(rest & 127n) | 128);
  }
}
const encode = (...parts: Part[]): Uint8Array =>
  Uint8Array.from(
    parts.flatMap(([number, value]) => {
      if (typeof value === 'number') return [...varint(number << 3), ...varint(value)];
      const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value;
      return [...varint((number << 3) | 2), ...varint(bytes.length), ...bytes];
    }),
  );
const entry = (key: string, value: string | Uint8Array) => encode([1, key], [2, value]);
const enveloped = (kind: string, raw: Uint8Array, apiVersion = 'v1') =>
  new Uint8Array([
    ...new TextEncoder().encode('k8s\0'),
    ...encode([1, encode([1, apiVersion], [2, kind])], [2, raw], [3, ''], [4, '']),
  ]);
/** As Go writes an ObjectMeta: empty fields are present, also an empty creation time. */
const meta = (name: string, ...more: Part[]) =>
  encode([1, name], [2, ''], [3, ''], [4, ''], [5, ''], [6, ''], [7, 0], [8, encode()], ...more);

describe('protobuf bodies', () => {
  it('are decoded to the equivalent JSON', () => {
    const namespace = enveloped('Namespace', encode([1, meta('shop')], [2, encode()], [3, encode([1, ''])]));
    expect(readProtobuf(namespace)).toEqual({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
    const labels: Part[] = [
      [11, entry('app', 'a')],
      [11, entry('tier', '')],
      [12, entry('note', 'ü')],
    ];
    const map = encode(
      [1, meta('c', ...labels)],
      [2, entry('a', 'b')],
      [2, entry('', '')],
      [3, entry('z', new Uint8Array([0, 255]))],
      [4, 1],
    );
    expect(readProtobuf(enveloped('ConfigMap', map))).toEqual({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'c', labels: { app: 'a', tier: '' }, annotations: { note: 'ü' } },
      data: { a: 'b', '': '' },
      binaryData: { z: 'AP8=' },
      immutable: true,
    });
    const secret = encode([1, meta('s')], [2, entry('a', 'b')], [3, 'Opaque']);
    expect(readProtobuf(enveloped('Secret', secret))).toMatchObject({ data: { a: 'Yg==' }, type: 'Opaque' });
    const account = encode([1, meta('bot')], [3, encode([1, 'pull'])], [4, 0]);
    expect(readProtobuf(enveloped('ServiceAccount', account))).toEqual({
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'bot' },
      imagePullSecrets: [{ name: 'pull' }],
      automountServiceAccountToken: false,
    });
  });

  it.each([
    ['no magic', new TextEncoder().encode('{}'), 'does not begin as'],
    ['a cut message', enveloped('Namespace', encode([1, meta('shop')])).subarray(0, -9), 'ends too early'],
    ['an unknown field', enveloped('Namespace', encode([9, 'x'])), 'field number 9 is not supported'],
    ['a number for a text', enveloped('Secret', encode([3, 7])), 'a number instead of bytes'],
    ['a text for a number', enveloped('Secret', encode([5, 'x'])), 'bytes instead of a number'],
    ['another kind', enveloped('Pod', encode()), 'Pod is not read from protobuf, only v1/Namespace'],
    ['a __proto__ key', enveloped('ConfigMap', encode([2, entry('__proto__', 'x')])), '__proto__'],
  ])('refuses %s', (_, body, message) => {
    expect(() => readProtobuf(body)).toThrow(ProtobufError);
    expect(() => readProtobuf(body)).toThrow(message);
  });

  it('any bytes give an object or an error', () => {
    const good = enveloped('ConfigMap', encode([1, meta('c', [11, entry('a', 'b')])], [2, entry('a', 'b')]));
    const change = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(change, (changes) => {
        const body = good.slice();
        for (const [at, byte] of changes) body[at] = byte;
        try {
          expect(readProtobuf(body)).toBeTypeOf('object');
        } catch (error) {
          // TypeError: a text that is not UTF-8.
          expect(error instanceof ProtobufError || error instanceof TypeError, String(error)).toBe(true);
        }
      }),
      { numRuns: 5000 },
    );
  });

  it('are accepted by the API, which answers in JSON and names unsupported kinds', async () => {
    const store = memoryStore();
    await createInitialNamespaces(store);
    const api = createApi({ store, kinds: { kinds, validate }, isAdmin: () => true, version: '0.1.0' });
    const post = (path: string, body: Uint8Array) =>
      api.request(path, {
        method: 'POST',
        body,
        headers: { 'content-type': PROTOBUF, authorization: 'Bearer x' },
      });
    const made = await post('/api/v1/namespaces', enveloped('Namespace', encode([1, meta('shop')])));
    expect([made.status, await made.json()]).toMatchObject([201, { kind: 'Namespace', metadata: { name: 'shop' } }]);
    const port = encode([1, 'http'], [3, 80], [4, encode([1, 1], [2, 0], [3, 'web'])], [5, 0]);
    const spec = encode([1, port], [2, entry('app', 'a')], [4, 'ClusterIP'], [13, 0]);
    const service = await post(
      '/api/v1/namespaces/shop/services',
      enveloped('Service', encode([1, meta('a')], [2, spec], [3, encode([1, encode()])])),
    );
    expect([service.status, await service.json()]).toMatchObject([
      201,
      { spec: { ports: [{ name: 'http', port: 80, targetPort: 'web' }], selector: { app: 'a' }, type: 'ClusterIP' } },
    ]);
    const seen = encode([1, 1767323045]);
    const about = encode([1, 'Pod'], [2, 'shop'], [3, 'web'], [4, 'u-1'], [5, 'v1'], [6, ''], [7, '']);
    // As client-go's recorder sends it.
    const event = await post(
      '/api/v1/namespaces/shop/events',
      enveloped(
        'Event',
        encode(
          [1, meta('web.1')],
          [2, about],
          [3, 'Pulled'],
          [4, 'image is there'],
          [5, encode([1, 'kubelet'], [2, ''])],
          [6, seen],
          [7, seen],
          [8, 1],
          [9, 'Normal'],
          [10, encode()],
          [12, ''],
          [14, 'kubelet'],
          [15, ''],
        ),
      ),
    );
    expect([event.status, await event.json()]).toMatchObject([
      201,
      { involvedObject: { name: 'web', uid: 'u-1' }, count: 1, firstTimestamp: '2026-01-02T03:04:05Z' },
    ]);
    const pod = await post('/api/v1/namespaces/shop/services', enveloped('Pod', encode([1, meta('a')])));
    expect([pod.status, await pod.json()]).toMatchObject([
      415,
      {
        reason: 'UnsupportedMediaType',
        message: expect.stringContaining('send JSON, as kubectl apply and create -f do'),
      },
    ]);
    const options = enveloped('DeleteOptions', encode([2, encode([1, 'x'])], [4, 'Background']), 'apps/v1');
    const remove = await api.request('/api/v1/namespaces/shop/services/a', {
      method: 'DELETE',
      body: options,
      headers: { 'content-type': PROTOBUF, authorization: 'Bearer x' },
    });
    expect(await remove.json()).toMatchObject({
      code: 409,
      message: expect.stringContaining('(x) does not match the UID'),
    });
    const broken = await post('/api/v1/namespaces', new TextEncoder().encode('k8s\0\xff'));
    expect(broken.status).toBe(400);
    const latin = await post(
      '/api/v1/namespaces',
      enveloped('Namespace', encode([1, encode([1, new Uint8Array([0xff])])])),
    );
    expect([latin.status, await latin.json()]).toMatchObject([400, { message: expect.stringContaining('not UTF-8') }]);
  });
});
