import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { createCsr } from '../../shared/identity/csr.ts';
import { generateKeys, type Keys, keyAlgorithm, signingAlgorithm } from '../../shared/identity/keys.ts';
import { decodePem, encodePem } from '../../shared/identity/pem.ts';
import {
  ChallengePasswordAttribute,
  type JsonGeneralName,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequest,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
} from '../../shared/identity/x509.ts';
import { outputOf, works } from '../../tests/kit/process.ts';
import { checkCsr } from './csr-policy.ts';
import { type PlainCsr, readPlainCsr } from './plain-csr.ts';

const id = 'spiffe://td/ns/a/sa/b';
let keys: Keys;
beforeAll(async () => {
  keys = await generateKeys();
});

const derOf = (pem: string) => decodePem(pem, 'CERTIFICATE REQUEST')[0]!;
const bytes = (buffer: ArrayBuffer) => Buffer.from(buffer);

async function request(names: JsonGeneralName[] | undefined, more: { name?: string } = {}) {
  const extensions = names ? [new SubjectAlternativeNameExtension(names, true)] : [];
  const made = await Pkcs10CertificateRequestGenerator.create({ keys, signingAlgorithm, extensions, ...more });
  return new Uint8Array(made.rawData);
}

/** What the general reader finds in a request; throws where it refuses it. */
async function general(der: Uint8Array<ArrayBuffer>) {
  const read = new Pkcs10CertificateRequest(der);
  const names = read
    .getExtensions('2.5.29.17')
    .flatMap((extension) => (extension as SubjectAlternativeNameExtension).names.items);
  return {
    publicKey: bytes(read.publicKey.rawData),
    uris: names.filter(({ type }) => type === 'url').map(({ value }) => value),
    signed: await read.verify().catch(() => false),
  };
}

async function plainly({ publicKey, point, signature, info, uris }: PlainCsr) {
  const signed = await crypto.subtle
    .importKey('raw', point, keyAlgorithm, false, ['verify'])
    .then((key) => crypto.subtle.verify(signingAlgorithm, key, signature, info))
    .catch(() => false);
  return { publicKey: Buffer.from(publicKey), uris, signed };
}

describe('the quick reader of CSRs', () => {
  it('reads what proxies send, as the general one does', async () => {
    for (const csr of [await createCsr(keys, id), await createCsr(keys)]) {
      const plain = readPlainCsr(derOf(csr));
      expect(await plainly(plain!)).toEqual(await general(derOf(csr)));
      expect((await plainly(plain!)).signed).toBe(true);
    }
  });

  const subjects = ['/', '/O=', '/O=shop/CN=reviews-v1.shop.svc'];
  it.for(subjects)('reads what openssl sends with subject %s', (subject, test) => {
    const args = ['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    const out = ['-keyout', '/dev/null', '-subj', subject, '-addext', `subjectAltName=critical,URI:${id}`];
    if (!works('openssl', ['version'])) return test.skip('openssl is not installed');
    const csr = outputOf('openssl', [...args, ...out]);
    expect(readPlainCsr(derOf(csr))?.uris).toEqual([id]);
  });

  it('finds the same as the general reader in requests for random names', async () => {
    const uri = fc.string({ unit: fc.constantFrom(...'abcXYZ019:/._-%~ '), minLength: 1, maxLength: 200 });
    const name = fc.oneof(
      { weight: 4, arbitrary: uri.map((value) => ({ type: 'url' as const, value })) },
      { weight: 1, arbitrary: fc.domain().map((value) => ({ type: 'dns' as const, value })) },
    );
    let plain = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(name, { maxLength: 4 }), async (names) => {
        const der = await request(names);
        const found = readPlainCsr(der);
        if (!found) return;
        plain++;
        expect(await plainly(found)).toEqual(await general(der));
      }),
      { numRuns: 60 },
    );
    expect(plain).toBeGreaterThan(10);
  });

  it('leaves unusual requests to the general reader', async () => {
    const uris = [{ type: 'url' as const, value: id }];
    const attributes = [new ChallengePasswordAttribute('secret')];
    const usage = new KeyUsagesExtension(KeyUsageFlags.digitalSignature);
    const generator = Pkcs10CertificateRequestGenerator;
    const unusual = [
      await request([...uris, { type: 'dns', value: 'bank.example' }]),
      await request(uris, { name: 'CN=Ünï' }),
      await request(uris, { name: 'E=a@example.com' }),
      (await generator.create({ keys, signingAlgorithm, attributes })).rawData,
      (await generator.create({ keys, signingAlgorithm, extensions: [usage] })).rawData,
      (await generator.create({ keys, signingAlgorithm: { name: 'ECDSA', hash: 'SHA-384' } })).rawData,
    ];
    for (const der of unusual) {
      expect(readPlainCsr(new Uint8Array(der))).toBeUndefined();
      await expect(checkCsr(encodePem('CERTIFICATE REQUEST', new Uint8Array(der)), id)).resolves.toBeDefined();
    }
  });

  it('refuses a point that is not on the curve, and a signature that is none', async () => {
    const good = derOf(await createCsr(keys, id));
    const { point, signature } = readPlainCsr(good)!;
    const off = good.slice();
    off[Buffer.from(good).indexOf(point) + 64]! ^= 1;
    expect(readPlainCsr(off)).toBeDefined();
    await expect(checkCsr(encodePem('CERTIFICATE REQUEST', off), id)).rejects.toThrow('not signed by the key');
    const forged = good.slice();
    forged[Buffer.from(good).indexOf(signature.subarray(40))]! ^= 1;
    expect(readPlainCsr(forged)).toBeDefined();
    await expect(checkCsr(encodePem('CERTIFICATE REQUEST', forged), id)).rejects.toThrow('not signed by the key');
  });
});

describe('a good CSR with changes at random', () => {
  /** One change: a byte replaced, removed, put in or repeated, or the end cut off. */
  const change = fc.record({
    kind: fc.constantFrom('replace', 'flip', 'remove', 'insert', 'repeat', 'cut' as const),
    at: fc.nat(),
    byte: fc.oneof(fc.nat(255), fc.constantFrom(0x00, 0x01, 0x02, 0x30, 0x31, 0x7f, 0x80, 0x81, 0x82, 0xa0, 0xff)),
    length: fc.integer({ min: 1, max: 8 }),
  });
  type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;

  function apply(der: Uint8Array, { kind, at, byte, length }: Change): Uint8Array<ArrayBuffer> {
    const from = at % der.length;
    const [before, after] = [der.subarray(0, from), der.subarray(from)];
    const join = (...parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts));
    if (kind === 'replace') return join(before, Uint8Array.of(byte), after.subarray(1));
    if (kind === 'flip') return join(before, Uint8Array.of(after[0]! ^ (1 << (byte % 8))), after.subarray(1));
    if (kind === 'remove') return join(before, after.subarray(length));
    if (kind === 'insert') return join(before, new Uint8Array(length).fill(byte), after);
    if (kind === 'repeat') return join(before, after.subarray(0, length), after);
    return join(before);
  }

  it('is read equally by both readers, and never accepted by the quick reader alone', async () => {
    const good = derOf(await createCsr(keys, id));
    let read = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 2 }), async (changes) => {
        const der = changes.reduce((at, next) => (at.length === 0 ? at : apply(at, next)), good);
        const plain = readPlainCsr(der);
        if (!plain) return;
        read++;
        const found = await plainly(plain);
        expect(found).toEqual(await general(der));
        // A signature (r, s) has no other encoding, and nothing that is signed can change.
        if (found.signed) expect(Buffer.from(der).equals(good)).toBe(true);
      }),
      { numRuns: Number(process.env['TULLE_FUZZ_RUNS'] ?? 1) * 1500 },
    );
    expect(read).toBeGreaterThan(100);
  });
});
