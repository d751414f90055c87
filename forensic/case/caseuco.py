"""A run's provenance as a CASE/UCO graph in JSON-LD, for other laboratories' tools.

Source: Cyber-investigation Analysis Standard Expression (CASE) 1.x over the Unified Cyber Ontology (UCO).
The graph says what the signed record and the ledger say, in another vocabulary; it is not signed
itself, and every file in it carries its SHA-256, so that it can be held against what is.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from forensic.ledger.entry import LedgerEntry

_CONTEXT = {
    "kb": "tag:forensic-tool,2026:kb/",
    "case-investigation": "https://ontology.caseontology.org/case/investigation/",
    "uco-action": "https://ontology.unifiedcyberontology.org/uco/action/",
    "uco-core": "https://ontology.unifiedcyberontology.org/uco/core/",
    "uco-identity": "https://ontology.unifiedcyberontology.org/uco/identity/",
    "uco-observable": "https://ontology.unifiedcyberontology.org/uco/observable/",
    "uco-tool": "https://ontology.unifiedcyberontology.org/uco/tool/",
    "uco-types": "https://ontology.unifiedcyberontology.org/uco/types/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}


class CaseGraph:
    """Builds the graph of one run; equal inputs give an equal graph (node names are UUIDs of version 5)."""

    def __init__(self, predicate: dict[str, Any]) -> None:
        self._predicate = predicate
        self._namespace = uuid.UUID(predicate["workspace"]["id"])
        self._nodes: list[dict[str, Any]] = []
        self._people: dict[str, str] = {}

    def build(self, files: Iterable[tuple[str, str, int]], entries: Iterable[LedgerEntry]) -> dict[str, Any]:
        """The JSON-LD document. ``files``: name, SHA-256 and size in bytes of every file of the run folder;
        ``entries``: the ledger's entries about the exhibit, oldest first."""
        predicate, exhibit = self._predicate, self._predicate["exhibit"]
        lab = predicate["examiner"]["lab"]
        laboratory = self._add("Organization", lab, "uco-identity:Organization", {"uco-core:name": lab})
        examiner = self._person(predicate["examiner"]["identity"]["subject"])
        tool = self._add(
            "Tool",
            predicate["tool"]["name"],
            "uco-tool:Tool",
            {"uco-core:name": predicate["tool"]["name"], "uco-tool:version": predicate["tool"]["version"]},
        )
        original = self._file("exhibit", exhibit["file_name"], exhibit["sha256"], exhibit["size"])
        results = [self._file(predicate["run"]["id"], *one) for one in files]
        received = self._record(f"{exhibit['id']}", exhibit["id"], [original], "The exhibit as acquired.")
        produced = self._record(
            predicate["run"]["id"], predicate["run"]["id"], results, f"Files of run {predicate['run']['id']}."
        )
        actions = list(self._actions(entries, tool, original))
        actions.append(self._enhancement(examiner, tool, [original, received], [*results, produced]))
        self._add(
            "Investigation",
            predicate["case"]["id"],
            "case-investigation:Investigation",
            {
                "uco-core:name": predicate["case"]["id"],
                "uco-core:object": [
                    {"@id": node}
                    for node in (*self._people.values(), laboratory, tool, original, *results, received, produced)
                ]
                + [{"@id": node} for node in actions],
            },
        )
        return {"@context": _CONTEXT, "@graph": self._nodes}

    def _name(self, kind: str, key: str) -> str:
        return f"kb:{kind}-{uuid.uuid5(self._namespace, f'{kind}/{key}')}"

    def _add(self, kind: str, key: str, types: str, properties: dict[str, Any]) -> str:
        name = self._name(kind, key)
        self._nodes.append({"@id": name, "@type": types, **properties})
        return name

    def _person(self, subject: str) -> str:
        if subject not in self._people:
            self._people[subject] = self._add("Person", subject, "uco-identity:Person", {"uco-core:name": subject})
        return self._people[subject]

    def _file(self, group: str, name: str, sha256: str, size: int) -> str:
        key = f"{group}/{name}"
        digest = {
            "@id": self._name("Hash", key),
            "@type": "uco-types:Hash",
            "uco-types:hashMethod": "SHA256",
            "uco-types:hashValue": {"@type": "xsd:hexBinary", "@value": sha256.upper()},
        }
        facets = [
            {
                "@id": self._name("FileFacet", key),
                "@type": "uco-observable:FileFacet",
                "uco-observable:fileName": name.rpartition("/")[2],
                "uco-observable:filePath": name,
                "uco-observable:sizeInBytes": size,
            },
            {
                "@id": self._name("ContentDataFacet", key),
                "@type": "uco-observable:ContentDataFacet",
                "uco-observable:sizeInBytes": size,
                "uco-observable:hash": [digest],
            },
        ]
        return self._add("File", key, "uco-observable:File", {"uco-core:hasFacet": facets})

    def _record(self, key: str, number: str, objects: list[str], description: str) -> str:
        return self._add(
            "ProvenanceRecord",
            key,
            "case-investigation:ProvenanceRecord",
            {
                "uco-core:description": description,
                "case-investigation:exhibitNumber": number,
                "uco-core:object": [{"@id": one} for one in objects],
            },
        )

    def _actions(self, entries: Iterable[LedgerEntry], tool: str, original: str) -> Iterator[str]:
        """Every entry about the exhibit as an action: what failed and what was refused too."""
        for entry in entries:
            yield self._add(
                "InvestigativeAction",
                entry.hash,
                "case-investigation:InvestigativeAction",
                {
                    "uco-core:name": entry.event,
                    "uco-core:description": f"Ledger entry {entry.seq}, SHA-256 {entry.hash}, signed by "
                    f"key {entry.actor['key_id']}. Time: {entry.time['source']}.",
                    "uco-action:endTime": _moment(entry.utc),
                    "uco-action:performer": {"@id": self._person(entry.actor["subject"])},
                    "uco-action:instrument": [{"@id": tool}],
                    "uco-action:object": [{"@id": original}],
                },
            )

    def _enhancement(self, examiner: str, tool: str, objects: list[str], results: list[str]) -> str:
        run, recipe = self._predicate["run"], self._predicate["recipe"]
        stages = ", ".join(f"{stage['name']} ({stage['class']})" for stage in recipe["stages"])
        generative = self._predicate["output"]["stage_class"] == "generative"
        warning = "AI-GENERATED DETAIL, NOT EVIDENCE. " if generative else ""
        return self._add(
            "InvestigativeAction",
            run["id"],
            "case-investigation:InvestigativeAction",
            {
                "uco-core:name": f"Enhancement, run {run['id']}",
                "uco-core:description": f"{warning}Recipe {recipe['name']}, stages in order: {stages}. Mode "
                f"{run['mode']}. Highest stage class {self._predicate['output']['stage_class']}. "
                f"Risk map: {self._predicate['risk']['status']}.",
                "uco-action:startTime": _moment(run["started_utc"]),
                "uco-action:endTime": _moment(run["finished_utc"]),
                "uco-action:performer": {"@id": examiner},
                "uco-action:instrument": [{"@id": tool}],
                "uco-action:object": [{"@id": one} for one in objects],
                "uco-action:result": [{"@id": one} for one in results],
            },
        )


def _moment(utc: str) -> dict[str, str]:
    return {"@type": "xsd:dateTime", "@value": utc}
