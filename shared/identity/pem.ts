/** PEM (RFC 7468), the strict form. */

const MAX_BYTES = 256 * 1024;
const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+/=\s]*)-----END ([A-Z0-9 ]+)-----/g;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

export class PemError extends Error {
  override name = 'PemError';
}

/**
 * The DER of every block, in order. Text between blocks (as `openssl` writes it) is allowed, other kinds of block are not.
 * @throws PemError when there is none, one is broken or not labelled `label`, or the text is longer than 256 KiB
 */
export function decodePem(text: string, label: string): Uint8Array<ArrayBuffer>[] {
  if (text.length > MAX_BYTES) throw new PemError('PEM text is longer than 256 KiB');
  const blocks: Uint8Array<ArrayBuffer>[] = [];
  for (const [, begin, body = '', end] of text.matchAll(BLOCK)) {
    if (begin !== end) throw new PemError('PEM block begins and ends with different labels');
    if (begin !== label) throw new PemError(`expected PEM block "${label}", found "${begin}"`);
    blocks.push(decodeBase64(body));
  }
  const markers = text.split('-----BEGIN ').length - 1;
  if (markers !== blocks.length) throw new PemError(`PEM block "${label}" is broken`);
  if (blocks.length === 0) throw new PemError(`no PEM block "${label}" found`);
  return blocks;
}

export function encodePem(label: string, der: Uint8Array): string {
  let binary = '';
  for (const byte of der) binary += String.fromCharCode(byte);
  const lines = btoa(binary).match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

function decodeBase64(body: string): Uint8Array<ArrayBuffer> {
  const text = body.replace(/\s+/g, '');
  if (!BASE64.test(text) || text.length % 4 !== 0) throw new PemError('PEM block is not base64');
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
