// One secret: made, looked at, changed, rotated, deleted. The value is written and never read.

import { html, nothing, type PropertyValues, type TemplateResult } from "lit";
import { ApiError, call, messageOf } from "./api.ts";
import type { Secret, SecretDetail } from "./api-types.ts";
import { ago, dateTime, plural } from "./format.ts";
import { explainHosts, type HostWords, hostsIn } from "./host-words.ts";
import { icon } from "./icons.ts";
import { copyButton, failure, fieldsOf, warning } from "./parts.ts";
import { notify } from "./toast.ts";
import { View } from "./view.ts";

const surfaces = [
  ["header", "Headers"],
  ["basic", "Basic credentials"],
  ["path", "Path"],
  ["query", "Query"],
  ["body", "Body"],
  ["base64", "Base64 in the body"],
] as const;

interface Rules {
  readonly hosts: readonly string[];
  readonly locations: readonly string[] | null;
  readonly onViolation: string | null;
}

/** What a person changes of a secret, as update takes it. */
interface Fields extends Rules {
  readonly description: string | null;
}

class SecretDrawer extends View {
  static override properties = { secretId: { attribute: false }, mayManage: { attribute: false } };
  /** `"new"` for one to be made. */
  declare secretId: string;
  declare mayManage: boolean;

  #secret: SecretDetail | undefined;
  #hosts = "";
  /** Undefined: the deployment's default. */
  #locations: readonly string[] | undefined;
  #failure: string | undefined;
  #isBusy = false;
  #isDeleting = false;

  override connectedCallback(): void {
    super.connectedCallback();
    if (this.secretId !== "new") void this.#load();
  }

  protected override firstUpdated(_: PropertyValues): void {
    this.querySelector("dialog")?.showModal();
  }

  protected override render(): TemplateResult {
    const title = this.secretId === "new" ? "New secret" : (this.#secret?.name ?? "…");
    return html`<dialog class="drawer" aria-labelledby="drawer-title" @close=${() => this.dispatchEvent(new CustomEvent("closed"))}
      @click=${closeOnBackdrop}>
      <div class="drawer-body">
        <header class="drawer-head"><h2 id="drawer-title">${title}</h2>
          <button type="button" class="icon-button" aria-label="Close" @click=${() => this.#close()}>${icon("close")}</button></header>
        ${failure(this.#failure)}
        ${this.secretId === "new" ? this.#renderNew() : this.#secret === undefined ? nothing : this.#renderSecret(this.#secret)}
      </div>
    </dialog>`;
  }

  #renderNew(): TemplateResult {
    return html`<form @submit=${(event: SubmitEvent) => void this.#create(event)}>
      <label for="secret-name">Name</label>
      <input id="secret-name" name="name" required maxlength="255" autocomplete="off" spellcheck="false" placeholder="OPENAI" autofocus />
      ${this.#valueField("Value", "It is encrypted and never shown again. Sandboxes get a placeholder.", true)}
      ${this.#hostsField()}
      <label for="secret-description">Description <span class="faint">optional</span></label>
      ${descriptionField("")}
      ${this.#locationsField()} ${this.#violationField(undefined)}
      <footer class="drawer-foot"><button class="primary" ?disabled=${this.#isBusy || this.#hasInvalidHost()}>Create secret</button>
        <button type="button" @click=${() => this.#close()}>Cancel</button></footer>
    </form>`;
  }

  #renderSecret(secret: SecretDetail): TemplateResult {
    return html`
      <section aria-label="Placeholder"><h3>Placeholder</h3>
        <p class="copyable"><code>${secret.placeholder}</code>${copyButton(secret.placeholder, "Placeholder")}</p>
        <p class="help">What sandboxes hold. It stays the same when the value is rotated.</p></section>
      <dl class="facts">
        <div><dt>Created</dt><dd title=${dateTime(secret.createdAt)}>${ago(secret.createdAt)}</dd></div>
        <div><dt>Changed</dt><dd title=${dateTime(secret.updatedAt)}>${ago(secret.updatedAt)}</dd></div>
        <div><dt>Last used</dt><dd>${secret.lastUsedAt === null ? "not seen since the API started" : ago(secret.lastUsedAt)}</dd></div>
      </dl>
      ${this.mayManage ? this.#renderForms(secret) : this.#renderReadOnly(secret)}
      <section><h3>Mounted in</h3>${
        secret.mountedIn.length === 0
          ? html`<p class="faint">No sandbox has it yet. Attach it on the page Sandboxes.</p>`
          : html`<ul class="plain-list">${secret.mountedIn.map(
              (mount) =>
                html`<li><a href="#/sandboxes/${mount.sandboxId}">${mount.sandboxName}</a> as <code>${mount.env}</code></li>`,
            )}</ul>${
              secret.mounts > secret.mountedIn.length
                ? html`<p class="faint">and ${plural(secret.mounts - secret.mountedIn.length, "more")}</p>`
                : nothing
            }`
      }
        <p><a href="#/traffic?secret=${encodeURIComponent(secret.name)}">Its traffic</a></p></section>
      ${this.mayManage ? this.#renderDelete(secret) : nothing}`;
  }

  #renderForms(secret: SecretDetail): TemplateResult {
    return html`
      <form @submit=${(event: SubmitEvent) => void this.#update(event, secret)}>
        ${this.#hostsField()} ${this.#locationsField()} ${this.#violationField(secret.onViolation)}
        <label for="secret-description">Description</label>
        ${descriptionField(secret.description ?? "")}
        <p><button class="primary" ?disabled=${this.#isBusy || this.#hasInvalidHost()}>Save changes</button></p>
      </form>
      <form class="rotate" @submit=${(event: SubmitEvent) => void this.#rotate(event)}>
        <h3>Rotate</h3>
        ${this.#valueField("New value", "The old one is sent no more once proxies have heard of it, and stays scrubbed for an hour.", true)}
        <p><button ?disabled=${this.#isBusy}>Rotate value</button></p>
      </form>`;
  }

  #renderReadOnly(secret: SecretDetail): TemplateResult {
    return html`<section><h3>May go to</h3>${this.#renderHostWords(secret.hosts.join("\n"))}
      <h3>Written into</h3><p>${secret.locations?.join(", ") ?? "the deployment's default places"}</p></section>`;
  }

  #renderDelete(secret: SecretDetail): TemplateResult {
    if (!this.#isDeleting) {
      return html`<footer class="drawer-foot"><button type="button" class="danger" @click=${() => this.#askDelete(true)}>Delete secret…</button></footer>`;
    }
    const names = secret.mountedIn.slice(0, 5).map(({ sandboxName }) => sandboxName);
    return html`<section class="danger-zone" role="group" aria-labelledby="delete-title"><h3 id="delete-title">Delete ${secret.name}?</h3>
      <ul>
        <li>${
          secret.mounts === 0
            ? "No sandbox has it mounted."
            : html`${plural(secret.mounts, "sandbox loses", "sandboxes lose")} it at once: ${names.join(", ")}${secret.mounts > names.length ? ", …" : ""}.
                Their requests then carry a placeholder that stands for nothing, and the destination will refuse them.`
        }</li>
        <li>${secret.lastUsedAt === null ? "It was not used since the API started." : `It was last used ${ago(secret.lastUsedAt)}.`}</li>
        <li>The value is gone for good; keyswap shows it to nobody, so have it elsewhere if you need it.</li>
      </ul>
      <p class="actions"><button type="button" class="danger" ?disabled=${this.#isBusy} @click=${() => void this.#delete(secret)}>Delete ${secret.name}</button>
        <button type="button" @click=${() => this.#askDelete(false)}>Keep it</button></p></section>`;
  }

  #valueField(label: string, help: string, isRequired: boolean): TemplateResult {
    return html`<label for="secret-value">${label}</label>
      <textarea id="secret-value" class="value" name="value" rows="2" ?required=${isRequired} autocomplete="off" spellcheck="false"
        aria-describedby="secret-value-help"></textarea>
      <p class="help" id="secret-value-help">${help}</p>`;
  }

  #hostsField(): TemplateResult {
    return html`<label for="secret-hosts">May go to</label>
      <textarea id="secret-hosts" name="hosts" rows="3" spellcheck="false" autocomplete="off" aria-describedby="host-words"
        placeholder="api.openai.com" .value=${this.#hosts} @input=${(event: InputEvent) => {
          this.#hosts = (event.target as HTMLTextAreaElement).value;
          this.requestUpdate();
        }}></textarea>
      <div id="host-words" aria-live="polite">${this.#renderHostWords(this.#hosts)}</div>`;
  }

  #renderHostWords(input: string): TemplateResult {
    const words = explainHosts(input);
    if (words.length === 0) {
      return warning(html`<strong>Unrestricted.</strong> Without a host, the value may go to <em>any</em> host that a sandbox asks for, and every
        TLS connection of its sandboxes is opened up. One host a line, such as <code>api.openai.com</code> or <code>*.openai.com</code>.`);
    }
    return html`<ul class="host-words">${words.map(
      (each) => html`<li class="is-${each.kind}"><code>${each.text}</code> <span>${hostSentence(each)}</span></li>`,
    )}</ul>`;
  }

  #locationsField(): TemplateResult {
    const chosen = this.#locations;
    const narrow = (chosen ?? []).filter((location) => location.includes(":"));
    return html`<fieldset><legend>Written into</legend>
      <label class="choice"><input type="checkbox" .checked=${chosen === undefined} @change=${(event: Event) => {
        this.#locations = (event.target as HTMLInputElement).checked ? undefined : ["header", "basic"];
        this.requestUpdate();
      }} /> The deployment's default places</label>
      ${
        chosen === undefined
          ? nothing
          : html`<div class="choices">${surfaces.map(
              ([
                surface,
                title,
              ]) => html`<label class="choice"><input type="checkbox" .checked=${chosen.includes(surface)}
                @change=${(event: Event) => this.#choose(surface, (event.target as HTMLInputElement).checked)} /> ${title}</label>`,
            )}</div>
            <label for="secret-parts">Named parts only <span class="faint">such as header:x-api-key, query:key, body:/auth/token</span></label>
            <input id="secret-parts" .value=${narrow.join(", ")} spellcheck="false" autocomplete="off" @change=${(
              event: Event,
            ) => this.#chooseParts((event.target as HTMLInputElement).value)} />`
      }</fieldset>`;
  }

  #violationField(current: "pass" | "block" | undefined): TemplateResult {
    const option = (value: string, title: string) =>
      html`<option value=${value} .selected=${value === (current ?? "")}>${title}</option>`;
    return html`<label for="secret-violation">Where it may not be written</label>
      <select id="secret-violation" name="onViolation">${option("", "as the sandbox or deployment says")}
        ${option("pass", "send the placeholder unchanged")} ${option("block", "refuse the request with 403")}</select>`;
  }

  #choose(surface: string, isChosen: boolean): void {
    const others = (this.#locations ?? []).filter((location) => location !== surface);
    this.#locations = isChosen ? [...others, surface] : others;
    this.requestUpdate();
  }

  #chooseParts(text: string): void {
    const whole = (this.#locations ?? []).filter((location) => !location.includes(":"));
    this.#locations = [...whole, ...text.split(/[\s,]+/).filter((part) => part !== "")];
    this.requestUpdate();
  }

  #hasInvalidHost(): boolean {
    return explainHosts(this.#hosts).some(({ kind }) => kind === "invalid");
  }

  async #load(): Promise<void> {
    try {
      const secret = await call<SecretDetail>("GET", `/console/secrets/${this.secretId}`);
      this.#secret = secret;
      this.#hosts = secret.hosts.join("\n");
      this.#locations = secret.locations;
    } catch (error) {
      this.#failure = messageOf(error);
    }
    this.requestUpdate();
  }

  async #create(event: SubmitEvent): Promise<void> {
    const { name, value, description } = fieldsOf(event);
    const fields = { name, value, ...(description === "" ? {} : { description }), ...this.#rules(event) };
    await this.#work(async () => {
      const secret = await call<Secret>("POST", "/secret", fields);
      this.#forgetValue();
      for (const text of secret.warnings ?? []) notify(text);
      notify(`${secret.name} created`);
      this.#changed();
      this.secretId = secret.id;
      await this.#load();
    });
  }

  async #update(event: SubmitEvent, loaded: SecretDetail): Promise<void> {
    const { description } = fieldsOf(event);
    const fields = changedFields(loaded, { description: description || null, ...this.#rules(event) });
    if (Object.keys(fields).length === 0) return notify("There is nothing to save");
    await this.#work(async () => {
      const secret = await call<Secret>("PATCH", `/secret/${this.secretId}`, fields);
      for (const text of secret.warnings ?? []) notify(text);
      notify("Changes saved; proxies are told at once");
      this.#changed();
      await this.#load();
    });
  }

  async #rotate(event: SubmitEvent): Promise<void> {
    const { value } = fieldsOf(event);
    await this.#work(async () => {
      await call("PATCH", `/secret/${this.secretId}`, { value });
      this.#forgetValue();
      notify("Value rotated; the placeholder stays");
      this.#changed();
      await this.#load();
    });
  }

  async #delete(secret: SecretDetail): Promise<void> {
    await this.#work(async () => {
      await call("DELETE", `/secret/${secret.id}`);
      notify(`${secret.name} deleted`);
      this.#changed();
      this.#close();
    });
  }

  /** Hosts, places and policy, as create and update take them. */
  #rules(event: SubmitEvent): Rules {
    const { onViolation } = fieldsOf(event);
    return { hosts: hostsIn(this.#hosts), locations: this.#locations ?? null, onViolation: onViolation || null };
  }

  async #work(work: () => Promise<void>): Promise<void> {
    this.#isBusy = true;
    this.#failure = undefined;
    this.requestUpdate();
    try {
      await work();
    } catch (error) {
      this.#failure = error instanceof ApiError ? error.message : "Something failed; nothing may have been changed.";
      this.querySelector(".drawer-body")?.scrollTo({ top: 0 });
    }
    this.#isBusy = false;
    this.requestUpdate();
  }

  #askDelete(isDeleting: boolean): void {
    this.#isDeleting = isDeleting;
    this.requestUpdate();
    void this.updateComplete.then(() =>
      this.querySelector<HTMLElement>(".danger-zone")?.scrollIntoView({ block: "nearest" }),
    );
  }

  #forgetValue(): void {
    for (const field of this.querySelectorAll<HTMLTextAreaElement>("textarea.value")) field.value = "";
  }

  #changed(): void {
    this.dispatchEvent(new CustomEvent("changed"));
  }

  #close(): void {
    this.#forgetValue();
    this.querySelector("dialog")?.close();
  }
}

function descriptionField(text: string): TemplateResult {
  return html`<textarea id="secret-description" name="description" rows="2" maxlength="255" autocomplete="off" .value=${text}></textarea>`;
}

/** What is no longer as it was loaded. The rest is not to be sent: somebody else may have changed it since. */
function changedFields(loaded: SecretDetail, fields: Fields): Partial<Fields> {
  const before: Fields = {
    // As a textarea gives it back.
    description: loaded.description?.replaceAll(/\r\n?/g, "\n") || null,
    hosts: loaded.hosts,
    locations: loaded.locations ?? null,
    onViolation: loaded.onViolation ?? null,
  };
  const isChanged = (name: keyof Fields) => JSON.stringify(fields[name]) !== JSON.stringify(before[name]);
  return Object.fromEntries(Object.entries(fields).filter(([name]) => isChanged(name as keyof Fields))); // its own names
}

function hostSentence({ kind, words }: HostWords): string {
  return kind === "invalid" ? words : `matches ${words}`;
}

/** A click beside the drawer closes it: the dialog element itself is only hit there. */
export function closeOnBackdrop(event: Event): void {
  if (event.target === event.currentTarget && event.currentTarget instanceof HTMLDialogElement)
    event.currentTarget.close();
}

customElements.define("ks-secret-drawer", SecretDrawer);
