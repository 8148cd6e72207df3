import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nameBytes, readName } from './names.ts';
import { DnsFormatError, FLAG, RCODE, TYPE } from './protocol.ts';
import { readQuery, readResponse } from './read-message.ts';
import { queryBytes, queryOf } from './testing/query.ts';
import { relayAnswer, writeAnswer, writeError, writeQuery } from './write-message.ts';

const bytes = (...parts: (number | string | Uint8Array)[]): Uint8Array =>
  Uint8Array.from(
    parts.flatMap((part) =>
      typeof part === 'number' ? [part] : typeof part === 'string' ? [...Buffer.from(part, 'latin1')] : [...part],
    ),
  );

describe('names', () => {
  it('are read in lower case, with escaped dots and backslashes', () => {
    const wire = bytes(3, 'WwW', 3, 'a.b', 2, 'c\\', 0);
    const { name, end } = readName(wire, 0, false);
    expect([name, end]).toEqual(['www.a\\046b.c\\092', wire.length]);
    expect(Buffer.from(nameBytes(name)!).toString('latin1')).toBe('\x03www\x03a.b\x02c\\\0');
  });

  it.each([
    ['a pointer to itself', bytes(0xc0, 0)],
    ['a pointer forwards', bytes(0xc0, 2, 1, 'a', 0)],
    ['two pointers in a circle', bytes(1, 'a', 0xc0, 4, 1, 'b', 0xc0, 0)],
    ['a reserved label type', bytes(0x40, 1, 0)],
    ['a label that is cut off', bytes(5, 'abc')],
    ['a name without an end', bytes(1, 'a')],
    ['more than 255 bytes', bytes(...Array.from({ length: 5 }, () => bytes(63, 'x'.repeat(63))), 0)],
  ])('refuse %s', (_, wire) =>
    expect(() => readName(wire, wire[0]! === 1 ? 4 % wire.length : 0, true)).toThrow(DnsFormatError),
  );

  it('follow so many pointers and no more', () => {
    const chain = (length: number) => {
      const wire = [1, 97, 0];
      for (let i = 0; i < length; i++) {
        const to = i === 0 ? 0 : 3 + (i - 1) * 2;
        wire.push(0xc0 | (to >> 8), to & 255);
      }
      return Uint8Array.from(wire);
    };
    expect(readName(chain(100), 3 + 99 * 2, true).name).toBe('a');
    expect(() => readName(chain(200), 3 + 199 * 2, true)).toThrow('too many');
  });

  it('are no names with empty or long labels', () => {
    expect(['a..b', '.a', 'x'.repeat(64), 'ü\u0100', `${'a.'.repeat(130)}a`].map(nameBytes)).toEqual(
      Array(5).fill(undefined),
    );
  });
});

describe('queries', () => {
  it('are read', () => {
    expect(queryOf('Reviews.Shop', { type: 'AAAA', edns: { udpBytes: 4096, dnssecOk: true } })).toMatchObject({
      id: 0x1234,
      recursionDesired: true,
      question: { name: 'reviews.shop', type: TYPE.AAAA, class: 1 },
      edns: { udpBytes: 4096, version: 0, dnssecOk: true },
    });
  });

  const good = queryBytes('a.test');
  const changed = (at: number, value: number) => {
    const copy = good.slice();
    copy[at] = value;
    return copy;
  };
  it.each([
    ['bytes behind the last record', bytes(good, 0), RCODE.FORMERR],
    ['no question', changed(5, 0), RCODE.FORMERR],
    ['two questions', changed(5, 2), RCODE.FORMERR],
    ['an answer', bytes(changed(7, 1), 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4), RCODE.FORMERR],
    [
      'more records than a query has',
      bytes(changed(11, 9), ...Array.from({ length: 9 }, () => [0, 0, 16, 0, 1, 0, 0, 0, 0, 0, 0]).flat()),
      RCODE.FORMERR,
    ],
    ['a question that is cut off', good.subarray(0, good.length - 1), RCODE.FORMERR],
    ['a compressed name', bytes(good.subarray(0, 12), 0xc0, 12, 0, 1, 0, 1), RCODE.FORMERR],
    ['another opcode', changed(2, 0x28), RCODE.NOTIMP],
    [
      'two OPT records',
      bytes(changed(11, 2), 0, 0, 41, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 41, 2, 0, 0, 0, 0, 0, 0, 0),
      RCODE.FORMERR,
    ],
    ['an OPT record with a name', bytes(changed(11, 1), 1, 'a', 0, 0, 41, 2, 0, 0, 0, 0, 0, 0, 0), RCODE.FORMERR],
    ['EDNS of a later version', queryBytes('a.test', { edns: { udpBytes: 512, version: 1 } }), RCODE.BADVERS],
  ])('with %s are refused', (_, wire, rcode) => {
    const query = readQuery(wire);
    expect(query).toMatchObject({ rcode });
    const answer = readResponse(writeErrorOf(query));
    expect(answer.rcode).toBe(rcode === RCODE.BADVERS ? 16 : rcode);
  });
  const writeErrorOf = (query: ReturnType<typeof readQuery>) => {
    if (!query || !('rcode' in query)) throw new Error('it is good');
    const message = writeError(query);
    // An answer without a question cannot be read as one.
    if (query.question) {
      if (query.rcode === RCODE.BADVERS) {
        expect(message[3]! & 15).toBe(0);
        expect(message.at(-6)).toBe(1);
        const read = readResponse(message);
        return Object.assign(message, { read });
      }
      return message;
    }
    expect(message).toHaveLength(12);
    const withQuestion = bytes(message, good.subarray(12));
    withQuestion[5] = 1;
    withQuestion[2] = withQuestion[2]! & 0x87;
    return withQuestion;
  };

  it('that are responses, or too short, get no answer', () => {
    expect(readQuery(changed(2, 0x81))).toBeUndefined();
    expect(readQuery(good.subarray(0, 11))).toBeUndefined();
  });
});

describe('answers', () => {
  const a = (name: string) => ({ name, type: TYPE.A, ttl: 30, data: Uint8Array.of(10, 0, 0, 1) });

  it('keep the id and the spelling of the name, and compress', () => {
    const query = queryOf('ReViews.Shop', { id: 0xbeef, edns: { udpBytes: 1232 } });
    const message = writeAnswer(
      query,
      { rcode: 0, authoritative: true, answers: [a('reviews.shop'), a('reviews.shop')] },
      1232,
    );
    expect(Buffer.from(message).toString('latin1')).toContain('\x07ReViews\x04Shop\0');
    expect(message).toHaveLength(12 + 18 + 2 * 16 + 11);
    expect(readResponse(message)).toMatchObject({ id: 0xbeef, smallestTtl: 30, hasAnswers: true });
  });

  it('that are too large say TC alone', () => {
    const answers = Array.from({ length: 40 }, () => a('many.test'));
    const message = writeAnswer(queryOf('many.test'), { rcode: 0, authoritative: true, answers }, 512);
    expect(readResponse(message)).toMatchObject({ truncated: true, hasAnswers: false });
    expect(message).toHaveLength(12 + 15);
  });

  it('of upstream servers lose their OPT record, and their TTLs by their age', () => {
    const query = queryOf('A.test', { id: 7, edns: { udpBytes: 1232 } });
    const upstream = writeAnswer(
      queryOf('a.test', { id: 9, edns: { udpBytes: 1232 } }),
      { rcode: 0, authoritative: true, answers: [a('a.test'), { ...a('b.test'), ttl: 5 }] },
      1232,
    );
    const kept = readResponse(upstream);
    expect(kept.bytes).toHaveLength(upstream.length - 11);
    const relayed = readResponse(relayAnswer(query, kept, 10, 1232));
    expect(relayed).toMatchObject({ id: 7, smallestTtl: 0 });
    const plain = relayAnswer(queryOf('a.test'), kept, 0, 512);
    expect(plain).toHaveLength(kept.bytes.length);
    expect(((plain[2]! << 8) | plain[3]!) & FLAG.AA).toBe(0);
  });

  it('are only taken whole: a negative one for as long as its SOA says', () => {
    const soa = bytes(0, 0, 6, 0, 1, 0, 0, 0, 50, 0, 22, 0, 0, ...Array(16).fill(0), 0, 0, 0, 40);
    const header = bytes(0, 1, 0x81, 0x83, 0, 1, 0, 0, 0, 1, 0, 0);
    const message = bytes(header, queryBytes('no.test').subarray(12), soa);
    expect(readResponse(message)).toMatchObject({ rcode: 3, negativeTtl: 40 });
    for (let length = 12; length < message.length; length++)
      expect(() => readResponse(message.subarray(0, length))).toThrow(DnsFormatError);
  });
});

describe('any bytes', () => {
  const runs = { numRuns: 3000 };
  const seed = fc.constantFrom(
    queryBytes('reviews.shop', { edns: { udpBytes: 1232 } }),
    writeQuery(queryOf('api.example.com', { type: 'HTTPS' }), 77, true),
    writeAnswer(
      queryOf('_http._tcp.reviews', { type: 'SRV', edns: { udpBytes: 1232 } }),
      {
        rcode: 0,
        authoritative: true,
        answers: [
          {
            name: '_http._tcp.reviews',
            type: TYPE.SRV,
            ttl: 1,
            data: Uint8Array.of(0, 0, 0, 1, 0, 80),
            target: 'reviews',
          },
        ],
        additionals: [{ name: 'reviews', type: TYPE.A, ttl: 1, data: Uint8Array.of(1, 2, 3, 4) }],
      },
      1232,
    ),
  );
  const mutated = fc
    .tuple(seed, fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 6 }), fc.nat(120))
    .map(([message, changes, length]) => {
      const copy = message.slice(0, Math.max(length, 12));
      for (const [at, value] of changes) if (at < copy.length) copy[at] = value;
      return copy;
    });
  const anything = fc.oneof(mutated, fc.uint8Array({ maxLength: 600 }));

  it('are read as a query or refused, and the answer can be read', () => {
    fc.assert(
      fc.property(anything, (message) => {
        const query = readQuery(message);
        if (!query) return;
        if ('rcode' in query) {
          expect(writeError(query).length).toBeGreaterThanOrEqual(12);
          return;
        }
        const { name } = query.question;
        const answers = [{ name, type: TYPE.A, ttl: 1, data: Uint8Array.of(1, 2, 3, 4) }];
        const read = readResponse(writeAnswer(query, { rcode: 0, authoritative: true, answers }, 65535));
        expect(read.question).toEqual(query.question);
        const labels = nameBytes(name)!;
        expect(readName(labels, 0, false).name).toBe(name);
      }),
      runs,
    );
  });

  it('are read as a response or refused', () => {
    fc.assert(
      fc.property(anything, (message) => {
        try {
          const { bytes: kept, question } = readResponse(message);
          expect(readResponse(kept).question).toEqual(question);
        } catch (error) {
          expect(error).toBeInstanceOf(DnsFormatError);
        }
      }),
      runs,
    );
  });
});
