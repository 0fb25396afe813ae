"""What simulated people are called, write and say."""

from __future__ import annotations

from typing import Final

# fmt: off
FIRST_NAMES: Final = (
    "Robin", "Kim", "Alex", "Sasha", "Jamie", "Noor", "Lena", "Omar", "Mei", "Diego", "Priya",
    "Jonas", "Aisha", "Tom", "Ines", "Pavel", "Grace", "Hugo", "Yuki", "Clara", "Samir", "Olga",
    "Felix", "Nadia", "Leo", "Marta", "Ravi", "Ella", "Bruno", "Zoe",
)
LAST_NAMES: Final = (
    "Vale", "Park", "Moreno", "Lindt", "Okafor", "Brandt", "Silva", "Novak", "Tanaka", "Weber",
    "Haddad", "Olsen", "Rossi", "Byrne", "Costa", "Dietz", "Iyer", "Kowalski", "Lopez", "Meyer",
    "Nguyen", "Peters", "Quinn", "Schmidt", "Turner", "Ueda", "Wolf", "Young",
)
# fmt: on

QUESTIONS: Final = (
    "Hi, is my order on its way?",
    "Can somebody call me back about the invoice from last month?",
    "The second box arrived damaged. What now?",
    "Do you also deliver on Saturdays?",
    "I would like to move my appointment to Thursday, please.",
    "Thanks, that worked!",
    "What would 40 pieces cost?",
    "Is the shop on Main Street open tomorrow? 🙂",
    "My account says “payment failed” but my bank says otherwise.",
    "Could you send the papers to my new address?",
    "ok",
    "Wo finde ich die Anleitung auf Deutsch?",
)
REPLIES: Final = (
    "Yes, it comes tomorrow between 9 and 12.",
    "We are sorry! A new one goes out today.",
    "Of course. Which time suits you?",
    "I have sent it to you by e-mail.",
    "Thursday at 10 is free. Shall I book it?",
    "That would be 12.40 each, with delivery.",
    "You are welcome!",
)
REMINDERS: Final = (
    "Reminder: your appointment is tomorrow at 10:00. Reply C to confirm.",
    "Your parcel is out for delivery.",
    "How did we do? Reply with 1 to 5.",
)
VOICEMAILS: Final = (
    "Hello, I tried to reach you about my order. Please call me back, thank you.",
    "Hi, it's me again. It's about the invoice, the sum doesn't look right to me.",
    "Good evening. I would like to know whether you have an appointment next week.",
    "Yes hello, the machine has stopped again. It is rather urgent. Thank you.",
)
SUMMARIES: Final = (
    "The customer asked when the order arrives; the agent gave the delivery window.",
    "A damaged parcel was reported; a replacement was promised for the same week.",
    "The customer disputed an invoice line; the agent will check with accounting.",
    "An appointment was moved to Thursday morning.",
    "The customer asked for a quote for a larger quantity.",
)
TOPICS: Final = ("delivery", "invoice", "damage", "appointment", "quote", "payment", "returns")
MENU_QUEUES: Final = ("English", "Español", "Orders", "Everything else")
