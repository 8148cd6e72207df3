/**
 * Serial numbers of workload certificates: 20 octets (the most that RFC 5280 section 4.1.2.2 allows), hexadecimal. The first
 * eight are the join's id, the next four the certificate's generation within the join, the last eight are random. So the join
 * of a certificate is found without a table of serial numbers, and one that is older than the newest is recognized.
 */
import { randomBytes } from 'node:crypto';

/** The first bits are 01: positive, and without a leading zero. */
const SERIAL = /^([4-7][0-9a-f]{15})([0-9a-f]{8})[0-9a-f]{16}$/;
const MAX_GENERATION = 0xffff_ffff;

export interface JoinSerial {
  /** 16 hexadecimal digits. */
  readonly join: string;
  /** 1 for the first certificate of a join. */
  readonly generation: number;
}

/** Of a first certificate: with it a join begins. */
export function firstSerial(): string {
  const id = randomBytes(8);
  id[0] = (id[0]! & 0x3f) | 0x40;
  return serialOf({ join: id.toString('hex'), generation: 1 });
}

/** @param generation at least 1 */
export function serialOf({ join, generation }: JoinSerial): string {
  if (!Number.isInteger(generation) || generation < 1 || generation > MAX_GENERATION)
    throw new RangeError(`generation of a certificate must be 1 to ${MAX_GENERATION}`);
  return join + generation.toString(16).padStart(8, '0') + randomBytes(8).toString('hex');
}

/** @param serial lower-case hexadecimal @returns undefined: it is of an earlier version, or of another authority */
export function readSerial(serial: string): JoinSerial | undefined {
  const [, join, generation] = SERIAL.exec(serial) ?? [];
  if (join === undefined || generation === undefined) return undefined;
  const number = Number.parseInt(generation, 16);
  return number === 0 ? undefined : { join, generation: number };
}
