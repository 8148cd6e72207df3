// What `tulle join --as KIND` does until it has a certificate, on the runtime that runs it. Argument: JSON {url, rootHash, kind, asked, options}.
// Prints the answer of the control plane as JSON, or the error on standard error with exit code 1.
import process from 'node:process';
import { obtainEvidence } from '../../machine/evidence/evidence.ts';
import { obtainCertificate } from '../../machine/join/certificate.ts';
import { reach } from '../../machine/join/control-plane.ts';

const { url, rootHash, kind, asked = {}, options = {} } = JSON.parse(process.argv[2]!);
try {
  const { root } = await reach(url, rootHash);
  const { answer } = await obtainCertificate([url], root, {
    asked,
    evidence: (csr) => obtainEvidence(kind, csr, { environment: process.env, ...options }),
  });
  console.log(JSON.stringify(answer));
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
