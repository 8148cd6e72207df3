import { expect, it } from 'vitest';
import { formatInvitation, type Invitation, parseInvitation } from './invitation.ts';

const invitation: Invitation = {
  controlPlanes: ['https://10.0.0.1:15012', 'https://[2001:db8::1]:15012'],
  token: 'tulle.0123456789abcdef.secret',
  rootHash: 'ab'.repeat(32),
};

it('is one word, and is read as it was written', () => {
  const text = formatInvitation(invitation);
  expect(text).toMatch(/^tulle-join\.[A-Za-z0-9_-]+$/);
  expect(parseInvitation(` ${text}\n`)).toEqual(invitation);
});

it.each([
  ['no prefix', 'tulle.0123456789abcdef.secret', /begin with/],
  ['cut', formatInvitation(invitation).slice(0, -9), /damaged/],
  ['another scheme', formatInvitation({ ...invitation, controlPlanes: ['http://10.0.0.1:15012'] }), /damaged/],
  ['a hash that is none', formatInvitation({ ...invitation, rootHash: 'AB' }), /damaged/],
  ['too long', `tulle-join.${'A'.repeat(5000)}`, /at most/],
])('refuses %s, without showing it', (_, text, reason) => {
  expect(() => parseInvitation(text)).toThrow(reason);
  expect(() => parseInvitation(text)).not.toThrow(/secret/);
});
