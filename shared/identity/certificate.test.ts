import { describe, expect, it } from 'vitest';
import { only, SEQUENCE, time } from './asn1.ts';
import { readCertificate } from './certificate.ts';
import { generateKeys, signingAlgorithm } from './keys.ts';
import * as x509 from './x509.ts';

const at = (tag: number, text: string) => {
  const content = new TextEncoder().encode(text);
  return { tag, content, raw: content };
};

describe('certificates', () => {
  it.each([
    [0x17, '491231235959Z', Date.UTC(2049, 11, 31, 23, 59, 59)],
    [0x17, '500101000000Z', Date.UTC(1950, 0, 1)],
    [0x18, '20240229120000Z', Date.UTC(2024, 1, 29, 12)],
  ])('a time is read: %s %s', (tag, text, ms) => expect(time(at(tag, text))).toBe(ms));

  it.each(['20231301000000Z', '20230230000000Z', '20230101240000Z', '20230101006000Z', '20230101000060Z', '2023'])(
    'a time that does not exist is refused: %s',
    (text) => expect(() => time(at(0x18, text))).toThrow('malformed'),
  );

  it('gives validity, names as DER and key identifiers', async () => {
    const keys = await generateKeys();
    const certificate = await x509.X509CertificateGenerator.create({
      subject: 'CN=leaf',
      issuer: 'CN=Authority',
      notBefore: new Date('2024-01-01T00:00:00Z'),
      notAfter: new Date('2060-01-01T00:00:00Z'),
      publicKey: keys.publicKey,
      signingKey: keys.privateKey,
      signingAlgorithm,
      extensions: [new x509.AuthorityKeyIdentifierExtension('0102'), new x509.SubjectKeyIdentifierExtension('0304')],
    });
    const facts = readCertificate(new Uint8Array(certificate.rawData));
    expect(facts).toMatchObject({
      notBefore: Date.UTC(2024, 0, 1),
      notAfter: Date.UTC(2060, 0, 1),
      subjectKeyId: '\u0003\u0004',
      authorityKey: { keyId: '\u0001\u0002', issuer: undefined, serial: undefined },
      ca: false,
    });
    expect(facts.issuerName).toEqual(new Uint8Array(certificate.issuerName.toArrayBuffer()));
    expect(only(facts.subjectName, SEQUENCE).raw).toEqual(facts.subjectName);
  });
});
