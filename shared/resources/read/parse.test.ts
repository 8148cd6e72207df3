import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { keyText, resolvePlain } from '../yaml/scalar.ts';
import { locate, parseBytes, parseDocuments } from './parse.ts';

const values = (text: string, file?: string) => parseDocuments(text, file).documents.map(({ value }) => value);
const errors = (text: string, file?: string) =>
  parseDocuments(text, file).errors.map(({ line, column, path, message }) => `${line}:${column} ${path}: ${message}`);

describe('documents', () => {
  it('several with their places, CRLF, comments and empty ones', () => {
    const { documents, errors } = parseDocuments(
      '# x\r\n---\r\na: 1\r\n---\r\n---\r\n# only a comment\r\n--- # text\r\n  {"b": 2}\r\n...\r\n',
      'f.yaml',
    );
    expect(errors).toEqual([]);
    expect(documents).toMatchObject([
      { value: { a: 1 }, file: 'f.yaml', line: 3, column: 1 },
      { value: { b: 2 }, file: 'f.yaml', line: 8, column: 3 },
    ]);
  });
  it('lists are replaced by their items', () => {
    const { documents } = parseDocuments('apiVersion: v1\nkind: List\nitems:\n- a: 1\n- null\n-   a: 2\n');
    expect(documents).toMatchObject([
      { value: { a: 1 }, line: 4, column: 3 },
      { value: { a: 2 }, line: 6, column: 5 },
    ]);
    expect(values('{"kind":"VirtualServiceList","items":[{"a":1}]}')).toEqual([{ a: 1 }]);
    expect(values('kind: List\nitems: {}')).toEqual([{ kind: 'List', items: {} }]);
  });
  it('a stream of JSON values', () => {
    expect(values('{"a":1}\n{"a":"\\u00e9\\n"} {"a":[true,null,-1.5e3]}')).toEqual([
      { a: 1 },
      { a: 'é\n' },
      { a: [true, null, -1500] },
    ]);
    expect(errors('{"a":1}\n {"a":}', 'x.json')).toEqual(['2:7 : unexpected "}"']);
    expect(errors('{"a":"x\ny"}', 'x.json')).toEqual(['1:8 : a string cannot hold "\\n"']);
    expect(errors('{"a":1e999}', 'x.json')).toEqual(['1:6 : the number is too large']);
    expect(errors('[1', 'x.json')).toEqual(['1:3 : expected "," or "]", found the end of the text']);
  });
  it('YAML in flow style is no broken JSON', () =>
    expect(values('{a: 1}\n---\n{"b": 2}')).toEqual([{ a: 1 }, { b: 2 }]));
  it('a byte order mark, and places behind it', () => expect(errors('\ufeffa: 1\na: 2')).toHaveLength(1));
  it('an invalid document does not hide the others', () => {
    const { documents, errors } = parseDocuments('a: 1\n---\nb: [1\n---\nc: 1\n---\nd: 1\nd: 2');
    expect(errors).toMatchObject([{ line: 4 }, { line: 8, column: 1, path: 'd', rule: 'duplicate-field' }]);
    expect(documents.map((document) => document.value)).toEqual([{ a: 1 }, { c: 1 }]);
  });
});

describe('violations', () => {
  it('of every duplicate field, at its place', () => {
    expect(errors('a: 1\nb:\n- c: 1\n  c: 2\na: 3\n"a": 4\n')).toEqual([
      '4:3 b[0].c: the field "c" is set twice',
      '5:1 a: the field "a" is set twice',
      '6:1 a: the field "a" is set twice',
    ]);
    expect(errors('{"a":1,\n"b":{"c":1,"c":2},"a":2}')).toEqual([
      '2:12 b.c: the field "c" is set twice',
      '2:19 a: the field "a" is set twice',
    ]);
    // What they mean, not how they are written.
    expect(errors('8080: a\n0x1f90: b')).toEqual(['2:1 ["8080"]: the field "8080" is set twice']);
    const { invalid, unread } = parseDocuments('kind: List\nkind: List\nitems:\n- a: 1\n- {b: 1, b: 2}');
    expect(invalid.map(({ value, errors }) => [value, errors.map(({ path }) => path)])).toEqual([
      [{ a: 1 }, []],
      [{ b: 2 }, ['b']],
    ]);
    expect(unread).toMatchObject([[{ line: 2, path: 'kind' }]]);
  });
  it.each([
    ['a:\n\tb: 1', '2:1 : Tabs are not allowed as indentation'],
    ['a: .inf', '1:4 a: .inf is no number that JSON has'],
    ['a: [.nan]', '1:5 a[0]: .nan is no number that JSON has'],
    ['a: {? null : 1}', '1:7 a: null cannot be a key'],
    ['? [a]\n: 1', '1:3 : a list or a map cannot be a key'],
    ['a: x\u0000y', '1:5 : the character U+0000 is not allowed'],
    ['a: "\u001b"', '1:5 : the character U+001B is not allowed'],
    ['a: \ud800', '1:4 : the character U+D800 is not allowed'],
    ['a: *b', '1:4 a: there is no anchor "b" before this alias'],
    ['a: &b\n  c: *b', '2:6 a.c: the anchor "b" contains itself'],
    ['a: !!int x', '1:10 a: "x" is not a int, as its tag !!int requires'],
    ['a: !!binary aGk=', '1:13 a: !!binary is not supported: write the base64 text as a string'],
    ['a: {<<: 1}', '1:9 a: a merge key ("<<") takes a map or a list of maps'],
    ['a: "x', '1:6 : Missing closing "quote'],
  ])('%j: %s', (text, wanted) => expect(errors(text)).toEqual([wanted]));
  it('bytes that are no UTF-8', () => {
    const at = (...bytes: number[]) =>
      parseBytes(new Uint8Array(bytes)).errors.map(({ line, column }) => [line, column]);
    expect(at(0x61, 0x3a, 0x0a, 0xc3, 0xa9, 0xff, 0x61)).toEqual([[2, 2]]);
    expect(at(0x61, 0xe2, 0x82)).toEqual([[1, 3]]);
    expect(parseBytes(new Uint8Array([0xff, 0xfe, 0x61, 0])).errors[0]?.message).toContain('UTF-16');
    expect(parseBytes(new TextEncoder().encode('a: é')).documents).toMatchObject([{ value: { a: 'é' } }]);
  });
});

describe('limits', () => {
  it.each(['- ', '{a: ', '[', '{"a":', '[ #\n', '? '])('nesting of %j', (open) => {
    const found = errors(open.repeat(6000));
    expect(found).toHaveLength(1);
    expect(found[0]).toContain('is nested deeper than 100 levels');
  });
  it('nesting that closes', () => {
    expect(errors(`{a: ${'['.repeat(99)}${']'.repeat(99)}}`)).toEqual([]);
    expect(errors(`{a: ${'['.repeat(100)}${']'.repeat(100)}}`)[0]).toContain('is nested deeper than 100 levels');
    expect(errors(`[{"a":${'['.repeat(98)}${']'.repeat(98)}}]`)).toEqual([]);
    expect(errors(`[{"a":${'['.repeat(99)}${']'.repeat(99)}}]`)).toEqual(['1:105 : is nested deeper than 100 levels']);
  });
  it('aliases that multiply', () => {
    const lines = ['a0: &a0 [x,x,x,x,x,x,x,x,x,x]'];
    for (let i = 1; i < 9; i++) lines.push(`a${i}: &a${i} [${new Array(10).fill(`*a${i - 1}`).join()}]`);
    expect(values(lines.join('\n'))).toEqual([]);
    expect(errors(lines.join('\n'))).toHaveLength(1);
    expect(errors(lines.join('\n'))[0]).toContain('aliases repeat more than 100000 values');
    const merges = ['a0: &a0 {b: [x,x,x,x,x,x,x,x,x,x]}'];
    for (let i = 1; i < 9; i++) merges.push(`a${i}: &a${i} {c: [${new Array(10).fill(`{<<: *a${i - 1}}`).join()}]}`);
    expect(errors(merges.join('\n'))[0]).toContain('aliases repeat more than');
  });
  it('size', () => expect(errors(' '.repeat(17 * 1024 * 1024))).toEqual(['1:1 : the file is larger than 16 MiB']));
  it('ten times as many documents take ten times as long', () => {
    const text = (n: number) => Array.from({ length: n }, (_, i) => `a: ${i}\nb:\n- c: "x"\n`).join('---\n');
    // Of the processor and of this thread: neither a busy machine nor the collection of garbage beside it counts.
    const time = (input: string, count: number) => {
      const start = process.threadCpuUsage().user;
      expect(values(input)).toHaveLength(count);
      return (process.threadCpuUsage().user - start) / 1000;
    };
    const [small, large] = [text(400), text(4000)];
    // Quadratic work would be a factor of 100. Below 50 ms the collection of garbage is most of what is measured.
    const most = 40 * Math.max(50, Math.min(...[1, 2, 3].map(() => time(small, 400))));
    const took: number[] = [];
    while (took.length < 3 && (took.at(-1) ?? most) >= most) took.push(time(large, 4000));
    expect(Math.min(...took)).toBeLessThan(most);
  });
});

describe("goyaml's meaning of a scalar", () => {
  it.each<[string, unknown]>([
    ['yes', true],
    ['y', true],
    ['On', true],
    ['n', false],
    ['OFF', false],
    ['yEs', 'yEs'],
    ['TRUE', true],
    ['', null],
    ['~', null],
    ['Null', null],
    ['0777', 511],
    ['0o17', 15],
    ['089', 89],
    ['0x1F', 31],
    ['-0x1f', -31],
    ['0b101', 5],
    ['1_000', 1000],
    ['+5', 5],
    ['18446744073709551615', 2 ** 64],
    ['99999999999999999999', 1e20],
    ['0xfffffffffffffffff', '0xfffffffffffffffff'],
    ['.5', 0.5],
    ['1.', 1],
    ['1e3', 1000],
    ['1e999', '1e999'],
    ['.', '.'],
    ['-', '-'],
    ['1:30', '1:30'],
    ['2001-12-14', '2001-12-14'],
    ['1.2.3', '1.2.3'],
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['5s', '5s'],
    ['off-peak', 'off-peak'],
  ])('%s is %j', (text, wanted) => expect(resolvePlain(text)).toEqual(wanted));
  it('quoted and tagged ones', () => {
    expect(values('{a: "yes", b: \'1\', c: !!str 1, d: !!float 2, e: !x on, f: !!int "3", g: |\n  1\n}')).toEqual([]);
    expect(
      values('a: "yes"\nb: \'1\'\nc: !!str 1\nd: !!float 2\ne: !x on\nf: !!int "3"\ng: |\n  1\nh: !!null ""'),
    ).toEqual([{ a: 'yes', b: '1', c: '1', d: 2, e: 'on', f: 3, g: '1\n', h: null }]);
  });
  it.each([
    ['yes', 'true'],
    ['~', undefined],
    ['8080', '8080'],
    ['0x10', '16'],
    ['1.5', '1.5'],
    ['1.0', '1'],
    ['0.1', '0.1'],
    ['1e-7', '1e-07'],
    ['1e5', '100000'],
    ['1e6', '1e+06'],
    ['18446744073709551615', '18446744073709551615'],
    ['123456.789', '123456.79'],
    ['1234567.5', '1.2345675e+06'],
    ['.inf', '.inf'],
    ['-.inf', '-.inf'],
  ])('%s as a key is %s', (text, wanted) => expect(keyText(resolvePlain(text), text)).toBe(wanted));
  it('merge keys as kubectl reads them: in the order of the text, of a list the earlier map', () => {
    const merged = (map: string) => (values(`a: &x {b: 1, c: 9}\nm: ${map}`)[0] as { m: unknown }).m;
    expect(merged('{<<: *x, b: 5}')).toEqual({ b: 5, c: 9 });
    expect(merged('{b: 5, <<: *x}')).toEqual({ b: 1, c: 9 });
    expect(merged('{<<: [*x, {b: 7, z: 1}]}')).toEqual({ b: 1, c: 9, z: 1 });
    expect(merged('{b: 8, <<: [*x, {b: 7, z: 1}]}')).toEqual({ b: 1, c: 9, z: 1 });
    expect(merged('{<<: {q: 1}, <<: {q: 2, r: 2}}')).toEqual({ q: 2, r: 2 });
    expect(merged('{"<<": 1}')).toEqual({ '<<': 1 });
    const [document] = parseDocuments('a: &x {b: 1}\nm:\n  b: 5\n  <<: *x\no:\n  <<: *x\n  b: 5\n').documents;
    expect([locate(document!, 'm.b'), locate(document!, 'o.b')]).toEqual([
      { line: 1, column: 11 },
      { line: 7, column: 6 },
    ]);
  });
  it('an alias means the anchor before it', () => {
    expect(values('a: &x 1\nb: &y [*x]\nc: &x 2\nd: *y\ne: *x')).toEqual([{ a: 1, b: [1], c: 2, d: [1], e: 2 }]);
  });
  it('__proto__ is data', () => {
    for (const text of ['__proto__: {a: 1}', '{"__proto__":{"a":1}}', 'x: &x {__proto__: {a: 1}}\n<<: *x']) {
      const value = values(text)[0] as Record<string, unknown>;
      expect(Object.hasOwn(value, '__proto__')).toBe(true);
      expect(value['a']).toBeUndefined();
    }
  });
});

describe('places of fields', () => {
  const text = '# x\n---\na:\n  b.c: 1\n  list:\n  - x: 1\n    z: 2\n  e:\n---\nq: &q {r: 1}\ns:\n  <<: *q\n  80: w\n';
  const [first, second] = parseDocuments(text).documents;
  it.each([
    ['a["b.c"]', 'key', 4, 3],
    ['a["b.c"]', 'value', 4, 8],
    ['a.list[0].z', 'value', 7, 8],
    ['a.list[0]', 'value', 6, 5],
    ['a.list[7]', 'value', 5, 3],
    ['a.e.f', 'value', 8, 3],
    ['a.missing', 'value', 3, 1],
    ['', 'value', 3, 1],
    ['nope', 'value', 3, 1],
  ] as const)('%s (%s) is at %i:%i', (path, wanted, line, column) =>
    expect(locate(first!, path, wanted)).toEqual({ line, column }),
  );
  it('behind anchors, in later documents, in lists, in JSON', () => {
    expect(locate(second!, 's.r')).toEqual({ line: 10, column: 11 });
    expect(locate(second!, 's["80"]', 'key')).toEqual({ line: 13, column: 3 });
    const [, item] = parseDocuments('{"kind":"List","items":[{"a":1},\n {"b":[1,\n2]}]}').documents;
    expect(locate(item!, 'b[1]')).toEqual({ line: 3, column: 1 });
    expect(locate(item!, 'b', 'key')).toEqual({ line: 2, column: 3 });
  });
});

describe('any text', () => {
  it('never throws', () => {
    const token = fc.constantFrom(
      'a',
      ': ',
      '- ',
      '\n',
      '  ',
      '{',
      '}',
      '[',
      ']',
      ',',
      '&x ',
      '*x',
      '<<',
      '"',
      "'",
      '|',
      '>',
      '#',
      '---\n',
      '!!int ',
      '%',
      '\t',
      '? ',
      '0',
      '\r',
      '\\',
    );
    const text = fc.oneof(
      fc.string(),
      fc.array(token, { maxLength: 40 }).map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(text, (input) => {
        const { documents, invalid } = parseDocuments(input);
        for (const document of [...documents, ...invalid]) locate(document, 'a.b[0]["c"].d', 'key');
      }),
      { numRuns: 3000 },
    );
  });
  it('JSON is read as JSON.parse reads it', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), fc.constantFrom(0, 1, 2), (value, space) => {
        const text = JSON.stringify({ value }, undefined, space);
        expect(values(text)).toEqual([JSON.parse(text)]);
      }),
    );
  });
});
