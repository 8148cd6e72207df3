/** base64 as metadata services send it: in lines or not. */

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** @returns undefined where the text is not base64 with its padding, or is empty; line ends are ignored */
export function base64Bytes(text: string): Uint8Array<ArrayBuffer> | undefined {
  const word = text.replace(/[\r\n]/g, '');
  if (word === '' || !BASE64.test(word)) return undefined;
  return Uint8Array.from(atob(word), (character) => character.charCodeAt(0));
}
