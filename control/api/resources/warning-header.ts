/** Warnings of the API: `Warning: 299 - "text"` (RFC 9111 section 5.5 as Kubernetes uses it), written and read. */
import type { Fault } from '../../../shared/resources/resource.ts';

const MAX_LENGTH = 500;
const WARNING = /\b299 \S+ "((?:[^"\\]|\\.)*)"/g;

/** What a warning says in a header, which holds ASCII only. */
export function warningText({ path, message }: Pick<Fault, 'path' | 'message'>): string {
  return `${path ? `${path}: ` : ''}${message}`.replace(/[^\x20-\x7e]/g, '?').slice(0, MAX_LENGTH);
}

/** The value of one header. */
export function warningHeader(fault: Fault): string {
  return `299 - "${warningText(fault).replace(/["\\]/g, '\\$&')}"`;
}

/** The texts of all warnings of a header, which may be several headers joined. */
export function readWarnings(header: string): string[] {
  return [...header.matchAll(WARNING)].map(([, text = '']) => text.replace(/\\(.)/g, '$1'));
}
