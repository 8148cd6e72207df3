import { describe, expect, it } from 'vitest';
import { kinds, validate } from '../../../shared/resources/index.ts';
import { memoryStore } from '../../store/memory.ts';
import { createApi } from '../app.ts';
import { GNOSTIC, GNOSTIC_ANSWER, gnosticDocument } from './gnostic.ts';
import { openApi } from './openapi.ts';
import { swaggerOf } from './swagger.ts';

type Value = Uint8Array | number;

/** Fields of a message in the order in which they are written: numbers and values. */
function read(bytes: Uint8Array): [number, Value][] {
  const fields: [number, Value][] = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++]!;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const wire = tag % 8;
    if (wire === 0) fields.push([(tag - wire) / 8, varint()]);
    else if (wire === 1) {
      fields.push([(tag - wire) / 8, new DataView(bytes.buffer, bytes.byteOffset + at, 8).getFloat64(0, true)]);
      at += 8;
    } else {
      const length = varint();
      if (wire !== 2 || length > bytes.length - at) throw new Error(`wire type ${wire}, ${length} bytes at ${at}`);
      fields.push([(tag - wire) / 8, bytes.subarray(at, (at += length))]);
    }
  }
  return fields;
}
const all = (bytes: Value | undefined, number: number) =>
  read(bytes as Uint8Array)
    .filter(([found]) => found === number)
    .map(([, value]) => value);
const first = (bytes: Value | undefined, ...path: number[]): Value | undefined =>
  path.reduce<Value | undefined>((found, number) => (found === undefined ? found : all(found, number)[0]), bytes);
const text = (value: Value | undefined) =>
  value === undefined ? undefined : new TextDecoder().decode(value as Uint8Array);
const entryOf = (map: Value | undefined, inner: number, name: string) =>
  first(
    all(map, inner).find((entry) => text(first(entry, 1)) === name),
    2,
  );
const yaml = (extension: Value | undefined) => JSON.parse(text(first(extension, 2))!);

const document = gnosticDocument(swaggerOf(openApi(kinds)));

describe("gnostic's form of the OpenAPI document", () => {
  it('has the schemas, by which clients find a kind and judge its fields', () => {
    expect(text(first(document, 1))).toBe('2.0');
    const definitions = first(document, 9);
    const service = entryOf(definitions, 1, 'io.k8s.api.core.v1.Service');
    expect(yaml(entryOf(service, 31, 'x-kubernetes-group-version-kind'))).toEqual([
      { group: '', version: 'v1', kind: 'Service' },
    ]);
    expect(text(first(service, 22, 1))).toBe('object');
    // A reference is no `allOf`, which client-go does not read.
    const metadata = entryOf(first(service, 25), 1, 'metadata');
    expect(text(first(metadata, 1))).toBe('#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta');
    const ports = entryOf(first(entryOf(first(service, 25), 1, 'spec'), 25), 1, 'ports');
    expect(text(first(ports, 22, 1))).toBe('array');
    expect(yaml(entryOf(ports, 31, 'x-kubernetes-patch-merge-key'))).toBe('port');
    const port = entryOf(first(ports, 23, 1, 25), 1, 'port');
    expect([text(first(port, 22, 1)), first(port, 7), first(port, 9)]).toEqual(['integer', 65535, 1]);
    expect(all(first(ports, 23, 1), 19).map(text)).toEqual(['port']);
    const labels = entryOf(
      first(entryOf(definitions, 1, 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta'), 25),
      1,
      'labels',
    );
    expect(text(first(labels, 21, 1, 22, 1))).toBe('string');
  });

  it('has the operations, of which clients read whether fields are validated by the server', () => {
    const path = entryOf(first(document, 8), 2, '/api/v1/namespaces/{namespace}/services/{name}');
    const patch = first(path, 8);
    expect(yaml(entryOf(patch, 13, 'x-kubernetes-group-version-kind'))).toMatchObject({ kind: 'Service' });
    const queries = all(patch, 8).map((item) => text(first(item, 1, 2, 3, 4)));
    expect(queries).toContain('fieldValidation');
    const places = all(path, 9).map((item) => first(item, 1, 2, 4));
    expect(places.map((place) => [text(first(place, 4)), text(first(place, 2)), first(place, 1)])).toEqual([
      ['namespace', 'path', 1],
      ['name', 'path', 1],
    ]);
    const create = first(entryOf(first(document, 8), 2, '/api/v1/namespaces/{namespace}/services'), 4);
    const body = first(all(create, 8).at(-1), 1, 1);
    expect([text(first(body, 2)), text(first(body, 5, 1))]).toEqual([
      'body',
      '#/definitions/io.k8s.api.core.v1.Service',
    ]);
    const created = entryOf(first(create, 9), 1, '201');
    expect(text(first(created, 1, 2, 1, 1))).toBe('#/definitions/io.k8s.api.core.v1.Service');
  });

  it('is refused to be made of what has no place in it', () => {
    expect(() => gnosticDocument({ definitions: { a: { oneOf: [] } } })).toThrow('oneOf has no field');
  });

  it('is what clients of protobuf are answered, and JSON what others are', async () => {
    const api = createApi({ store: memoryStore(), kinds: { kinds, validate }, isAdmin: () => true, version: '0.1.0' });
    const get = (accept?: string) =>
      api.request('/openapi/v2', { headers: { authorization: 'Bearer x', ...(accept && { accept }) } });
    const answer = await get(GNOSTIC);
    expect(answer.headers.get('content-type')).toBe(GNOSTIC_ANSWER);
    expect(Buffer.from(await answer.arrayBuffer()).equals(document)).toBe(true);
    for (const accept of [undefined, 'application/json', `application/json, ${GNOSTIC}`]) {
      const plain = await get(accept);
      expect(plain.headers.get('content-type')).toContain('application/json');
      expect(await plain.json()).toMatchObject({ swagger: '2.0', paths: { '/api/v1/namespaces': { get: {} } } });
    }
    expect((await get('text/plain')).status).toBe(406);
  });
});
