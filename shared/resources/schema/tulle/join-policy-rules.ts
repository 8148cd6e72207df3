/** Rules of JoinPolicy over several fields, which its schema has by name. */
import { rule } from '../marks.ts';

type Fields = Readonly<Record<string, unknown>>;

const count = (value: Fields, fields: readonly string[]) => fields.filter((name) => value[name] !== undefined).length;
const exactlyOne = (name: string, fields: readonly string[]) =>
  rule(name, `exactly one of ${fields.join(', ')} must be set`, (value: Fields) => count(value, fields) === 1);

export const UUID = /^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/;

/** Kinds of evidence that a rule may be for. */
export const EVIDENCE = ['oidc', 'certificate', 'aws', 'gcp', 'azure'] as const;
export const someEvidence = rule(
  'joinpolicy.evidence',
  `one of ${EVIDENCE.join(', ')} must be set`,
  (value: Fields) => count(value, EVIDENCE) > 0,
);

export const oneKeySource = rule(
  'joinpolicy.keys',
  'only one of jwks, jwksUri may be set',
  (value: Fields) => count(value, ['jwks', 'jwksUri']) <= 1,
);
export const oneName = exactlyOne('joinpolicy.name', ['dns', 'uri']);
export const oneGrant = exactlyOne('joinpolicy.grant', [
  'group',
  'groupFromClaim',
  'serviceAccount',
  'serviceAccountFromClaim',
]);
