import { expect, it } from 'vitest';
import { type BackupLine, opened, sealed } from '../../api/backup/lines.ts';
import { decrypted, encrypted } from './archive.ts';

const PASSPHRASE = 'correct horse battery';
const head: BackupLine = { kind: 'backup', version: 1, created: '', tulle: '0', trustDomain: 'x', revision: 7 };
/** Random, so that it stays larger than several chunks when it is compressed. */
const files = Array.from({ length: 5 }, (_, at): BackupLine => {
  const data = Buffer.from(crypto.getRandomValues(new Uint8Array(50_000))).toString('base64');
  return { kind: 'file', path: `f${at}`, mode: 0o600, data };
});

async function bytesOf(lines: readonly BackupLine[], passphrase = PASSPHRASE): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of encrypted(sealed(lines), passphrase)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function read(bytes: Buffer, passphrase = PASSPHRASE): Promise<BackupLine[]> {
  const parts = async function* () {
    for (let at = 0; at < bytes.length; at += 10_000) yield bytes.subarray(at, at + 10_000);
  };
  const lines: BackupLine[] = [];
  for await (const line of opened(decrypted(parts(), passphrase))) lines.push(line);
  return lines;
}

it('gives back what was written, and shows nothing of it', async () => {
  const bytes = await bytesOf([head, ...files]);
  expect(await read(bytes)).toEqual([head, ...files]);
  expect(bytes.includes('trustDomain')).toBe(false);
});

it('refuses another passphrase, and files of others', async () => {
  await expect(read(await bytesOf([head]), 'another passphrase')).rejects.toThrow('the passphrase is another one');
  for (const other of ['', 'x', 'TULLE-BACKUP-1\n', 'TULLE-BACKUP-1\n{}\n', 'y'.repeat(200_000)])
    await expect(read(Buffer.from(other)), other.slice(0, 20)).rejects.toThrow('not a backup of tulle');
});

it('refuses what is cut off anywhere, changed anywhere, or longer', async () => {
  const bytes = await bytesOf([head, ...files]);
  const chunk = 64 * 1024 + 16;
  const start = bytes.indexOf('\n', 20) + 1;
  for (const end of [start, start + 1, start + chunk, start + 2 * chunk, start + 3 * chunk + 5, bytes.length - 1])
    await expect(read(bytes.subarray(0, end)), String(end)).rejects.toThrow(/cut off|was changed/);
  for (const at of [30, start + 5, start + chunk + 5, bytes.length - 20]) {
    const changed = Buffer.from(bytes);
    changed[at]! ^= 1;
    await expect(read(changed), String(at)).rejects.toThrow(/not a backup|was changed/);
  }
  await expect(read(Buffer.concat([bytes, Buffer.of(0)]))).rejects.toThrow(/was changed/);
});

it('refuses lines that lack their end, though they were encrypted whole', async () => {
  const lines = async function* () {
    for await (const line of sealed([head, ...files])) if (!line.includes('"end"')) yield line;
  };
  const chunks: Buffer[] = [];
  for await (const bytes of encrypted(lines(), PASSPHRASE)) chunks.push(bytes);
  await expect(read(Buffer.concat(chunks))).rejects.toThrow('the backup is cut off');
});
