/** The schema of JoinPolicy's spec (docs/joining.md): which evidence makes a machine which workload. */
import type { z } from 'zod';
import { StringMatch } from '../virtual-service.ts';
import { atMostOne, bool, duration, list, map, object, string, withRules } from '../vocabulary.ts';
import * as rules from './join-policy-rules.ts';

const MAX_PEM = 65_536;
const MAX_KEYS = 65_536;

const name = (what: string) => string({ min: 1, max: 253 }).describe(what);
const keysUrl = () => string({ min: 1, max: 2048 });
const audiences = () =>
  list(string({ min: 1, max: 512 }).describe('An audience.'), { min: 1, max: 16 }).describe(
    'A token must name one of these in aud: a name that means this mesh alone, so that tokens for others are refused.',
  );
const maxAge = (what: string) => duration(1000).describe(what);

export const JoinOidc = withRules(
  object(
    {
      audiences: audiences(),
      claims: map(StringMatch.describe('How the text of the claim must be; of a list, one entry.'), 32, 1).describe(
        'What the claims of a token must be, all of them. A key with dots leads into nested claims, as realm.role; in brackets a name may have dots itself, as [kubernetes.io][namespace].',
      ),
      issuer: string({ min: 1, max: 2048 }).describe('Issuer of the tokens: their iss claim.'),
      jwks: string({ min: 1, max: MAX_KEYS }).describe(
        'The keys (JSON Web Key Set) signatures are verified with, in line.',
      ),
      jwksUri: keysUrl().describe(
        "Where the keys are fetched from, http or https. Default: the jwks_uri of the issuer's OpenID discovery document.",
      ),
      maxAge: maxAge('How long after it was issued (iat) a token is accepted, its own end (exp) aside. Default: 1h.'),
      reusable: bool().describe(
        'A token may join several times until it expires, as that of a Kubernetes service account after a restart. Default: false, so that each token joins once.',
      ),
    },
    ['issuer', 'audiences', 'claims'],
  ),
  rules.oneKeySource,
);
export type JoinOidc = z.infer<typeof JoinOidc>;

export const SubjectAltNameMatch = withRules(
  object({
    dns: StringMatch.describe('A DNS name, in lower case.'),
    uri: StringMatch.describe('A URI, as spiffe://example.org/host/a.'),
  }),
  rules.oneName,
);
export type SubjectAltNameMatch = z.infer<typeof SubjectAltNameMatch>;

export const JoinCertificate = object(
  {
    subjectAltNames: list(SubjectAltNameMatch, { min: 1, max: 64 }).describe(
      'A subject alternative name of the certificate must match one of these.',
    ),
    trustedRoots: string({ min: 1, max: MAX_PEM }).describe(
      'Certificates of authorities (PEM) that the certificate of the machine must chain to.',
    ),
  },
  ['trustedRoots', 'subjectAltNames'],
);
export type JoinCertificate = z.infer<typeof JoinCertificate>;

export const JoinAws = object(
  {
    accounts: list(string({ pattern: /^\d{12}$/ }).describe('Number of an account, 12 digits, in quotes.'), {
      min: 1,
      max: 64,
    }).describe('Accounts that the instance may be of.'),
    certificates: string({ min: 1, max: MAX_PEM }).describe(
      'Certificates (PEM) with which AWS signs identity documents in the regions that are used: the RSA-2048 ones of the EC2 user guide.',
    ),
    images: list(string({ min: 1, max: 64 }).describe('Id of an image (AMI).'), { min: 1, max: 256 }).describe(
      'Images that the instance may run. Default: any.',
    ),
    instanceIds: list(string({ min: 1, max: 64 }).describe('Id of an instance.'), { min: 1, max: 1024 }).describe(
      'Instances that may join. Default: any of the accounts.',
    ),
    maxAge: maxAge('How long after its start (pendingTime) an instance may join. Default: 1h.'),
    regions: list(string({ min: 1, max: 64 }).describe('Name of a region.'), { min: 1, max: 64 }).describe(
      'Regions that the instance may run in. Default: any.',
    ),
    rejoin: bool().describe(
      'An instance that has joined may join again within maxAge. Default: false, so that its document is of no use to others.',
    ),
  },
  ['accounts', 'certificates'],
);
export type JoinAws = z.infer<typeof JoinAws>;

export const JoinGcp = withRules(
  object(
    {
      audiences: audiences(),
      jwks: string({ min: 1, max: MAX_KEYS }).describe("Google's keys (JSON Web Key Set), in line."),
      jwksUri: keysUrl().describe(
        "Where the keys are fetched from, http or https. Default: as Google's OpenID discovery document says.",
      ),
      projects: list(string({ min: 1, max: 128 }).describe('Id of a project.'), { min: 1, max: 64 }).describe(
        'Projects that the instance may be of.',
      ),
      serviceAccounts: list(string({ min: 1, max: 320 }).describe('E-mail address of a service account.'), {
        min: 1,
        max: 64,
      }).describe("Google's service accounts that the instance may run as. Default: any."),
      zones: list(string({ min: 1, max: 64 }).describe('Name of a zone.'), { min: 1, max: 128 }).describe(
        'Zones that the instance may run in. Default: any.',
      ),
    },
    ['audiences', 'projects'],
  ),
  rules.oneKeySource,
);
export type JoinGcp = z.infer<typeof JoinGcp>;

export const JoinAzure = object(
  {
    subscriptions: list(string({ pattern: rules.UUID }).describe('Id of a subscription.'), {
      min: 1,
      max: 64,
    }).describe('Subscriptions that the machine may be of.'),
    trustedRoots: string({ min: 1, max: MAX_PEM }).describe(
      "Certificates of authorities (PEM), roots or intermediates, that the certificate of Azure's metadata service chains to.",
    ),
    vmIds: list(string({ pattern: rules.UUID }).describe('Id of a virtual machine.'), { min: 1, max: 1024 }).describe(
      'Machines that may join. Default: any of the subscriptions.',
    ),
  },
  ['subscriptions', 'trustedRoots'],
);
export type JoinAzure = z.infer<typeof JoinAzure>;

export const NameFromClaim = object(
  {
    allowed: list(name('A value of the claim, which is the name.'), { min: 1, max: 256 }).describe(
      'The names that may come of it. A token with another value is refused.',
    ),
    claim: string({ min: 1, max: 512 }).describe('The claim, written as the keys of claims are. Its value is text.'),
  },
  ['claim', 'allowed'],
);
export type NameFromClaim = z.infer<typeof NameFromClaim>;

export const JoinGrant = withRules(
  object({
    ephemeral: bool().describe(
      'There is no way back once the certificate has expired: the machine joins again with new evidence. Default: false.',
    ),
    group: name('WorkloadGroup that the machine becomes a workload of, with the service account of its template.'),
    groupFromClaim: NameFromClaim.describe('The WorkloadGroup by a claim of the token. For oidc only.'),
    labels: map(string().describe('Value of the label.'), 32).describe(
      'Labels of the workload besides those of its group.',
    ),
    serviceAccount: name('Service account that the machine becomes; it is of no WorkloadGroup and registers nothing.'),
    serviceAccountFromClaim: NameFromClaim.describe('The service account by a claim of the token. For oidc only.'),
  }),
  rules.oneGrant,
);
export type JoinGrant = z.infer<typeof JoinGrant>;

export const JoinRule = withRules(
  atMostOne(
    object(
      {
        aws: JoinAws.describe('An instance identity document of AWS EC2.'),
        azure: JoinAzure.describe(
          'An attested document of an Azure virtual machine. It tells the subscription and the machine; resource groups are in the tokens of managed identities, which oidc takes (claim xms_mirid).',
        ),
        certificate: JoinCertificate.describe('A certificate of another authority, whose key the machine has.'),
        gcp: JoinGcp.describe('An instance identity token of Google Compute Engine, in the format full.'),
        grant: JoinGrant.describe('What a machine becomes whose evidence matches.'),
        oidc: JoinOidc.describe(
          'A token of an OpenID Connect issuer: of a CI system, of a Kubernetes service account, of an edge platform.',
        ),
      },
      ['grant'],
    ),
    rules.EVIDENCE,
  ),
  rules.someEvidence,
);
export type JoinRule = z.infer<typeof JoinRule>;

export const JoinPolicySpec = object(
  {
    disabled: bool().describe('The policy grants nothing. Machines that have joined stay. Default: false.'),
    namespaces: list(name('Name of a namespace.'), { min: 1, max: 64 }).describe(
      "Namespaces that a machine may choose from; in the mesh's root namespace only, elsewhere the policy grants nothing. Default: the namespace of the policy.",
    ),
    rules: list(JoinRule, { max: 64 }).describe(
      'Evidence and what it grants. A machine whose evidence matches several rules names the group or service account it wants.',
    ),
  },
  ['rules'],
);
export type JoinPolicySpec = z.infer<typeof JoinPolicySpec>;
