/**
 * The file of a backup: lines, compressed, then encrypted in chunks with AES-256-GCM by a key that scrypt makes of a passphrase and a
 * salt of the file. The nonce of a chunk is its number and whether it is the last one (STREAM, https://eprint.iacr.org/2015/189), so
 * that chunks can be neither left out nor put in another order.
 */
import { createCipheriv, createDecipheriv, randomBytes, scryptSync } from 'node:crypto';
import { createInterface } from 'node:readline';
import { PassThrough, Readable } from 'node:stream';
import { createGunzip, createGzip } from 'node:zlib';
import * as z from 'zod';
import { CliError } from '../cli-error.ts';

const MAGIC = 'TULLE-BACKUP-1\n';
const CHUNK = 64 * 1024;
const TAG = 16;
/** 64 MiB and a quarter of a second, which a guess costs too. */
const SCRYPT = { N: 65_536, r: 8, p: 1 } as const;
const MAX_HEADER = 1024;
export const MIN_PASSPHRASE = 12;

const Header = z.strictObject({
  N: z.literal(SCRYPT.N),
  r: z.literal(SCRYPT.r),
  p: z.literal(SCRYPT.p),
  salt: z.base64().length(44),
});

function keyOf(passphrase: string, salt: Uint8Array): Buffer {
  return scryptSync(passphrase.normalize('NFC'), salt, 32, { ...SCRYPT, maxmem: 256 * 1024 * 1024 });
}

function nonce(number: number, isLast: boolean): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUIntBE(number, 5, 6);
  bytes[11] = isLast ? 1 : 0;
  return bytes;
}

/** @returns the bytes of the file */
export async function* encrypted(lines: AsyncIterable<string>, passphrase: string): AsyncGenerator<Buffer> {
  const salt = randomBytes(32);
  const header = Buffer.from(`${MAGIC}${JSON.stringify({ ...SCRYPT, salt: salt.toString('base64') })}\n`);
  const key = keyOf(passphrase, salt);
  yield header;
  let number = 0;
  const seal = (plain: Buffer, isLast: boolean) => {
    const cipher = createCipheriv('aes-256-gcm', key, nonce(number++, isLast)).setAAD(header);
    return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  };
  const packed = Readable.from(lines).pipe(createGzip());
  let held = Buffer.alloc(0);
  for await (const bytes of packed as AsyncIterable<Buffer>) {
    held = Buffer.concat([held, bytes]);
    for (; held.length > CHUNK; held = held.subarray(CHUNK)) yield seal(held.subarray(0, CHUNK), false);
  }
  yield seal(held, true);
}

/** The lines of a file. @throws CliError: not a backup, another passphrase, changed or cut off */
export async function* decrypted(file: AsyncIterable<Buffer>, passphrase: string): AsyncGenerator<string> {
  const plain = new PassThrough();
  const feeding = feed(file, passphrase, plain).catch((error: Error) => void unpacked.destroy(error));
  const unpacked = plain.pipe(createGunzip());
  try {
    yield* createInterface({ input: unpacked, crlfDelay: Number.POSITIVE_INFINITY });
  } finally {
    plain.destroy();
    unpacked.destroy();
    await feeding;
  }
}

async function feed(file: AsyncIterable<Buffer>, passphrase: string, into: PassThrough): Promise<void> {
  let held = Buffer.alloc(0);
  let open: ReturnType<typeof opener> | undefined;
  for await (const bytes of file) {
    held = Buffer.concat([held, bytes]);
    if (!open) {
      const end = held.indexOf('\n', MAGIC.length);
      if (end === -1 && held.length < MAX_HEADER) continue;
      open = opener(held.subarray(0, end + 1), passphrase);
      held = held.subarray(end + 1);
    }
    for (; held.length > CHUNK + TAG; held = held.subarray(CHUNK + TAG))
      if (!into.write(open(held.subarray(0, CHUNK + TAG), false))) await drained(into);
  }
  if (!open) throw new CliError('not a backup of tulle');
  into.end(open(held, true));
}

function drained(stream: PassThrough): Promise<void> {
  return new Promise((resolve) => stream.once('drain', resolve).once('close', resolve));
}

/** @param head the bytes before the first chunk */
function opener(head: Buffer, passphrase: string): (chunk: Buffer, isLast: boolean) => Buffer {
  const text = head.toString();
  const header = text.startsWith(MAGIC) ? Header.safeParse(parsed(text.slice(MAGIC.length))).data : undefined;
  if (!header) throw new CliError('not a backup of tulle');
  const key = keyOf(passphrase, Buffer.from(header.salt, 'base64'));
  let number = 0;
  return (chunk, isLast) => {
    const at = number++;
    try {
      const decipher = createDecipheriv('aes-256-gcm', key, nonce(at, isLast)).setAAD(head);
      decipher.setAuthTag(chunk.subarray(-TAG));
      return Buffer.concat([decipher.update(chunk.subarray(0, -TAG)), decipher.final()]);
    } catch {
      throw new CliError(
        at === 0 ? 'the passphrase is another one, or the backup was changed' : 'the backup was changed, or is cut off',
      );
    }
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
