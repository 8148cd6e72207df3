import { expect, it } from 'vitest';
import { readCertificate } from '../../../shared/identity/certificate.ts';
import { documentSigner, signedData } from '../testing/signed-documents.ts';
import { base64Bytes } from './base64.ts';
import { isSigner, readSignedData, verifies } from './cms.ts';

const content = new TextEncoder().encode('{"a":1}');
const keys = await documentSigner('signer');
const facts = readCertificate(new Uint8Array(keys.certificate.rawData));

it.each([false, true])(
  'signed data are verified, and no change of a byte is (indefinite lengths: %s)',
  async (indefinite) => {
    const bytes = base64Bytes(await signedData(content, keys, { indefinite, certificates: [keys.certificate] }))!;
    const isVerified = async (of: Uint8Array) => {
      const data = readSignedData(of);
      return (
        data.content !== undefined && isSigner(data, facts) && (await verifies(data, data.content, facts.publicKey))
      );
    };
    expect(await isVerified(bytes)).toBe(true);
    for (let at = 0; at < bytes.length; at++) {
      const changed = bytes.slice();
      changed[at]! ^= 1 << (at % 8);
      let data: ReturnType<typeof readSignedData>;
      try {
        data = readSignedData(changed);
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
        continue;
      }
      // What is not signed (a version, certificates) may be another; the content may not.
      if (data.content && (await verifies(data, data.content, facts.publicKey))) expect(data.content).toEqual(content);
    }
    for (let length = 0; length < bytes.length; length++)
      expect(() => readSignedData(bytes.subarray(0, length))).toThrow();
  },
);

it.each([
  ['nothing', ''],
  ['an element without end', '3080'],
  ['elements inside each other without end', '3080'.repeat(5000)],
  ['a primitive element without a length', '0480'],
  ['a length beyond the data', '3084ffffffff'],
])('%s is refused', (_, hex) => expect(() => readSignedData(Buffer.from(hex, 'hex'))).toThrow());
