import { expect, it } from 'vitest';
import { OwnAddress } from './own-address.ts';

it('is the address from which the control plane is reached, for as long as the host has it', () => {
  let addresses = ['127.0.0.1', 'fe80::1', '10.0.0.5', '10.1.0.5'];
  const own = new OwnAddress(() => addresses);
  expect(own.current).toBe('10.0.0.5');
  own.observed('::ffff:10.1.0.5');
  expect(own.current).toBe('10.1.0.5');
  own.observed('10.0.0.5');
  expect(own.current).toBe('10.1.0.5');
  addresses = ['10.0.0.9'];
  expect(own.isHeld).toBe(false);
  own.observed('10.0.0.9');
  expect([own.current, own.isHeld]).toEqual(['10.0.0.9', true]);
});

it('is a loopback address where the control plane is on the same host, and nothing else', () => {
  const own = new OwnAddress(() => []);
  expect(own.current).toBe('127.0.0.1');
  own.observed('::1');
  expect([own.current, own.isHeld]).toEqual(['::1', true]);
});
