import { describe, expect, it } from 'vitest';
import { readFields, readText } from './reader.ts';
import { readStruct, writeStruct } from './struct.ts';
import { ProtoWriter } from './writer.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const written = (fill: (writer: ProtoWriter) => void) => {
  const writer = new ProtoWriter();
  fill(writer);
  return writer.finish();
};

describe('ProtoWriter', () => {
  it.each([
    ['a text', (w: ProtoWriter) => w.text(1, 'é'), '0a02c3a9'],
    ['bytes as text', (w: ProtoWriter) => w.latin1(2, '\xe9'), '1201e9'],
    [
      'defaults',
      (w: ProtoWriter) => {
        w.text(1, '');
        w.uint(2, 0);
        w.blob(3, new Uint8Array(0));
        w.latin1(4, '');
      },
      '',
    ],
    ['a member of a oneof', (w: ProtoWriter) => w.member(3, 0), '1800'],
    [
      'numbers of several bytes',
      (w: ProtoWriter) => {
        w.uint(1, 300);
        w.uint(16, 2 ** 40);
      },
      '08ac0280018080808080' + '20',
    ],
    ['a double', (w: ProtoWriter) => w.double(2, 1), '11000000000000f03f'],
    ['an empty message', (w: ProtoWriter) => w.message(4, () => {}), '2200'],
    ['an entry', (w: ProtoWriter) => w.entry(1, 'k', (e) => e.text(2, 'v')), '0a060a016b120176'],
  ])('%s', (_, fill, expected) => expect(hex(written(fill))).toBe(expected));

  it('moves the content of a long message behind its length', () => {
    const long = 'x'.repeat(70_000);
    const bytes = written((w) => w.message(1, (inner) => inner.message(2, (one) => one.text(3, long))));
    const texts: string[] = [];
    readFields(bytes, (_, outer) =>
      readFields(outer, (__, inner) => readFields(inner, (field, text) => texts.push(`${field}${readText(text)}`))),
    );
    expect(texts).toEqual([`3${long}`]);
  });
});

describe('readFields', () => {
  it('gives every kind of field', () => {
    const found: [number, string, number][] = [];
    readFields(Buffer.from('0896011202616219000000000000f03f2500000001', 'hex'), (field, bytes, value) =>
      found.push([field, hex(bytes), value]),
    );
    expect(found).toEqual([
      [1, '', 150],
      [2, '6162', 0],
      [3, '000000000000f03f', 0],
      [4, '00000001', 0],
    ]);
  });
  it.each([
    ['an end inside a field', '0a05ab', 'the message ends inside a field'],
    ['an end inside a number', '08ff', 'the message ends inside a field'],
    ['a number of 11 bytes', `08${'ff'.repeat(11)}01`, 'a varint has more than 10 bytes'],
    ['a group', '0b0c', 'wire type 3 is not supported'],
    ['field 0', '0001', 'a field has the number 0'],
    ['a length beyond 2^32', '0affffffffffffffff7f', 'the message ends inside a field'],
  ])('refuses %s', (_, bytes, error) => expect(() => readFields(Buffer.from(bytes, 'hex'), () => {})).toThrow(error));
});

describe('Struct', () => {
  it('is what was written', () => {
    const value = {
      a: 'b',
      empty: '',
      n: 1.5,
      t: true,
      f: false,
      nothing: null,
      list: [1, 'x', { y: [] }],
      s: { t: {} },
    };
    const bytes = written((w) => writeStruct(w, value));
    expect(JSON.parse(JSON.stringify(readStruct(bytes)))).toEqual(value);
  });
  it('leaves out what it has no form for', () => {
    const bytes = written((w) => writeStruct(w, { a: undefined, b: () => 1, c: 1 }));
    expect({ ...readStruct(bytes) }).toEqual({ c: 1 });
  });
  it('takes a key for what it is', () => {
    const read = readStruct(written((w) => w.entry(1, '__proto__', (e) => e.message(2, (v) => v.text(3, 'x')))));
    expect(Object.keys(read)).toEqual(['__proto__']);
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });
  it('has a limit of levels and of values', () => {
    let deep: unknown = 1;
    for (let i = 0; i < 20; i++) deep = { deep };
    expect(() => readStruct(written((w) => writeStruct(w, { deep })))).toThrow('16 levels');
    const wide = Object.fromEntries(Array.from({ length: 2001 }, (_, i) => [`k${i}`, 1]));
    expect(() => readStruct(written((w) => writeStruct(w, wide)))).toThrow('2000 values');
  });
});
