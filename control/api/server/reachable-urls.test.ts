import { expect, it } from 'vitest';
import { reachableUrls } from './reachable-urls.ts';

it('names the address that is announced first, then the other names of the certificate', () => {
  const names = ['mesh.example', '10.1.0.10', '2001:db8::1', 'localhost', '127.0.0.1', '*.example', '10.0.0.1'];
  expect(reachableUrls('https://10.0.0.1:15012', names)).toEqual([
    'https://10.0.0.1:15012',
    'https://mesh.example:15012',
    'https://10.1.0.10:15012',
    'https://[2001:db8::1]:15012',
  ]);
  expect(reachableUrls('https://127.0.0.1:15012', [])).toEqual(['https://127.0.0.1:15012']);
  expect(
    reachableUrls(
      'https://a.example:1',
      Array.from({ length: 20 }, (_, i) => `h${i}`),
    ),
  ).toHaveLength(8);
});
