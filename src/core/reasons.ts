// Why a placeholder went out unchanged. These codes stand in audit events, in the `keyswap-note` header and in the docs.

export const notSubstitutedReasons = {
  "host-not-granted": "no secret of this sandbox is meant for this host; the connection was not opened up",
  "host-not-allowed": "the destination is not on this secret's host list",
  "unknown-placeholder": "no secret mounted in this sandbox has this placeholder",
  "placeholder-altered": "the text starts like a mounted placeholder but goes on differently",
  "plain-http": "the request was not protected by TLS and the host is not listed for plain HTTP",
  "surface-not-allowed": "this secret may not be written at this place of a request",
  "sink-header": "this header is commonly echoed or forwarded, so no value is written there",
  "unwritable-value": "the value holds bytes that cannot be written at this place",
  "length-differs": "the format needs placeholder and value of equal length",
  "body-signed": "a signature or digest covers the body, so it must not change",
  "coding-unreadable": "the body has a content coding that cannot be read",
  "body-too-large": "the decoded body is beyond the bound",
  "lookup-failed": "the Secret API could not be asked about this placeholder in time",
} as const;

export type NotSubstitutedReason = keyof typeof notSubstitutedReasons;
