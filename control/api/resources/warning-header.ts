/** Warnings of the API: `Warning: 299 - "text"` (RFC 9111 section 5.5 as Kubernetes uses it), written and read. */
import type { Violation } from '../../../shared/resources/resource.ts';

const MAX_LENGTH = 500;
const WARNING = /\b299 \S+ "((?:[^"\\]|\\.)*)"/g;

/** The text of a warning in a header, which holds ASCII only. */
export function warningText({ path, message }: Pick<Violation, 'path' | 'message'>): string {
  return `${path ? `${path}: ` : ''}${message}`.replace(/[^\x20-\x7e]/g, '?').slice(0, MAX_LENGTH);
}

/** The value of one header. */
export function warningHeader(violation: Pick<Violation, 'path' | 'message'> & Partial<Violation>): string {
  return `299 - "${warningText(violation).replace(/["\\]/g, '\\$&')}"`;
}

/** The texts of all warnings of a header, which may be several headers joined. */
export function readWarnings(header: string): string[] {
  return [...header.matchAll(WARNING)].map(([, text = '']) => text.replace(/\\(.)/g, '$1'));
}
