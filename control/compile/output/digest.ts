/** Versions of xDS resources: a digest of their canonical JSON, so every control replica and every restart agrees. */
import { hash } from 'node:crypto';

/** JSON with object keys sorted and no blanks (RFC 8785 in spirit); undefined fields are left out. */
export function canonicalJson(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return `{${fields.map(([name, field]) => `${JSON.stringify(name)}:${canonicalJson(field)}`).join(',')}}`;
}

/** 128 bits of SHA-256 over the canonical JSON, in hex. */
export function digest(value: unknown): string {
  return digestText(canonicalJson(value));
}

/** 128 bits of SHA-256, in hex. */
export function digestText(text: string): string {
  return hash('sha256', text, 'hex').slice(0, 32);
}
