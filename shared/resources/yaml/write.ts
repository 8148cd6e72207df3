/** YAML that every reader parses alike: kubectl's YAML 1.1 turns, YAML 1.2 and JSON readers alike. */
import { Document, isScalar, Scalar, visit } from 'yaml';
import { FORBIDDEN } from './characters.ts';
import { resolvePlain } from './scalar.ts';

/**
 * One document. Text that some parser reads as another type (`on`, `0777`, `1:30`) is quoted; nothing is written
 * twice by alias.
 */
export function writeYaml(value: unknown): string {
  const document = new Document(value, { aliasDuplicateObjects: false, version: '1.1', schema: 'core' });
  visit(document, {
    Scalar(_, node) {
      if (isScalar(node) && typeof node.value === 'string' && needsQuotes(node.value)) node.type = Scalar.QUOTE_DOUBLE;
    },
  });
  // All of them are within double quotes here, where an escape is equivalent.
  return document.toString({ lineWidth: 0 }).replace(new RegExp(FORBIDDEN, 'gu'), escaped);
}

const AMBIGUOUS = /^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$|^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}|^<<$|^=$/;

function needsQuotes(text: string): boolean {
  return resolvePlain(text) !== text || AMBIGUOUS.test(text) || FORBIDDEN.test(text);
}

function escaped(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
